/** Fetches one package and prints where it is: CACHE MIRROR PACKAGE-AS-JSON. */
import { fetchPackage } from '../../../build/inputs/fetch.ts';
import type { LockedPackage } from '../../../build/inputs/lock.ts';

const [cacheDir = '', mirror = '', pkg = ''] = process.argv.slice(2);
const parsed = JSON.parse(pkg) as LockedPackage; // eslint-disable-line typescript/no-unsafe-type-assertion
process.stdout.write(await fetchPackage(parsed, { cacheDir, mirrors: [mirror] }));
