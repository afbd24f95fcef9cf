/** Opens a toolchain: CACHE MIRROR PACKAGES-AS-JSON. */
import { openToolchain } from '../../../build/inputs/toolchain.ts';
import type { LockedPackage } from '../../../build/inputs/lock.ts';

const [cacheDir = '', mirror = '', packages = ''] = process.argv.slice(2);
const parsed = JSON.parse(packages) as readonly LockedPackage[]; // eslint-disable-line typescript/no-unsafe-type-assertion
await openToolchain({ cacheDir, packages: parsed, mirrors: [mirror] });
