// npm makes the program executable where it installs it; in a clone nobody does, and `npx nestjs-ben-udp` runs the file itself.
import { chmodSync } from 'node:fs';

chmodSync('dist/esm/cli/main.js', 0o755);
