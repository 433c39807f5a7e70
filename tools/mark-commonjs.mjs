// The CommonJS build needs a package.json of its own: the one at the top says "type": "module".
import { writeFileSync } from 'node:fs';

writeFileSync('dist/cjs/package.json', JSON.stringify({ type: 'commonjs' }) + '\n');
