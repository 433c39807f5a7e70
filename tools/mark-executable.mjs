// npm makes the program executable when it installs it, but not in a clone, and `npx nestjs-ben-udp` runs the file itself.
import { chmodSync } from 'node:fs';

chmodSync('dist/esm/cli/main.js', 0o755);
