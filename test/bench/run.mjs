/** `npm run bench [NAME …]`: makes the checkout ready, then prints one JSON line a figure. */
import { join } from 'node:path';
import { hand, ready, root } from '../../build/ready.mjs';

await ready();
process.exitCode = await hand(join(root, 'dist', 'test', 'bench', 'main.js'), process.argv.slice(2));
