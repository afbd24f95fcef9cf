/** `npm run fuzz`: makes the checkout ready, then feeds every parser what nobody would send. Arguments: see `main.ts`. */
import { join } from 'node:path';
import { hand, ready, root } from '../../build/ready.mjs';

await ready();
process.exitCode = await hand(join(root, 'dist', 'test', 'fuzz', 'main.js'), process.argv.slice(2));
