/** Writes collaborations to a store as fast as it can, a line for each that was acknowledged, until it is killed. */
import { join } from 'node:path';
import { lockDataFolder } from '../../../orchestrator/store/lock.ts';
import { openPGlite } from '../../../orchestrator/store/pglite.ts';
import { createSqlStore } from '../../../orchestrator/store/sql-store.ts';

const folder = process.argv[2] ?? '';
const lock = await lockDataFolder(folder);
const store = await createSqlStore(await openPGlite(join(folder, 'database'), lock), () => new Date());
for (let n = 0; ; n++) {
  const policyDigest = n.toString(16).padStart(96, '0');
  const id = `load-${n.toString(16).padStart(12, '0')}`;
  await store.create({ id, collaboration: 'load', policyDigest, canonicalPolicy: '{}', policy: '{}' });
  await store.putContribution(id, { function: 'f', bytes: n, sha256: policyDigest.slice(0, 64) });
  process.stdout.write(`${n}\n`);
}
