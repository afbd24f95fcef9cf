import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockDataFolder } from '../../../orchestrator/store/lock.ts';
import type { DataLock } from '../../../orchestrator/store/lock.ts';
import { MIGRATIONS, migrate } from '../../../orchestrator/store/migrations.ts';
import { openPGlite } from '../../../orchestrator/store/pglite.ts';
import { createSqlStore } from '../../../orchestrator/store/sql-store.ts';
import type { NewCollaboration, Store } from '../../../orchestrator/store/store.ts';
import { bundled } from '../bundled.ts';

const MEASUREMENTS = { PCR0: '0a'.repeat(48), PCR1: '1b'.repeat(48), PCR2: '2c'.repeat(48) };

function draft(name: string): NewCollaboration {
  const policyDigest = Buffer.from(name.padEnd(48, '.')).toString('hex').slice(0, 96);
  return {
    id: `${name}-${policyDigest.slice(0, 12)}`,
    collaboration: name,
    policyDigest,
    canonicalPolicy: '{"a":"ü\u0000"}'.replace('\u0000', ''),
    policy: '{}',
  };
}

let folder: string;
let lock: DataLock;
let clock = Date.UTC(2026, 0, 1);
const now = (): Date => new Date((clock += 1000));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-store-'));
  lock = await lockDataFolder(folder);
});

afterAll(async () => {
  await lock.release();
  await rm(folder, { recursive: true, force: true });
});

describe('the store', () => {
  let store: Store;
  beforeAll(async () => {
    store = await createSqlStore(await openPGlite(join(folder, 'database'), lock), now);
  });
  afterAll(() => store.close());

  it('gives back what was written, and creates once', async () => {
    const first = await store.create(draft('alpha'));
    expect(first).toMatchObject({
      created: true,
      collaboration: {
        ...draft('alpha'),
        state: 'building',
        reason: null,
        measurements: null,
        sizing: null,
        contributions: [],
      },
    });
    const again = await store.create({ ...draft('alpha'), policy: '{"other":1}' });
    expect(again).toEqual({ created: false, collaboration: first.collaboration });
    expect(await store.get(first.collaboration.id)).toEqual(first.collaboration);
  });

  it('changes only what is named', async () => {
    const { id } = draft('alpha');
    const built = await store.update(id, { state: 'built', measurements: MEASUREMENTS, sizing: { memoryMiB: 512 } });
    expect(built).toMatchObject({
      state: 'built',
      measurements: MEASUREMENTS,
      sizing: { memoryMiB: 512 },
      policy: '{}',
    });
    const stopped = await store.update(id, { state: 'stopped', reason: "it's over; -- \" '" });
    expect(stopped).toMatchObject({ state: 'stopped', reason: "it's over; -- \" '", measurements: MEASUREMENTS });
    expect(Date.parse(stopped?.updatedAt ?? '')).toBeGreaterThan(Date.parse(built?.updatedAt ?? ''));
    expect(await store.update('absent-000000000000', { state: 'built' })).toBeUndefined();
  });

  it('keeps one contribution a function, and knows which blobs are in use', async () => {
    const { id } = draft('alpha');
    await store.putContribution(id, { function: 'classify', bytes: 5, sha256: 'a'.repeat(64) });
    await store.putContribution(id, { function: 'classify', bytes: 2 ** 33, sha256: 'b'.repeat(64) });
    await store.putContribution(id, { function: 'detect', bytes: 0, sha256: 'c'.repeat(64) });
    expect((await store.get(id))?.contributions).toMatchObject([
      { function: 'classify', bytes: 2 ** 33, sha256: 'b'.repeat(64) },
      { function: 'detect', bytes: 0, sha256: 'c'.repeat(64) },
    ]);
    expect(await store.blobsInUse()).toEqual(new Set(['b'.repeat(64), 'c'.repeat(64)]));
    expect(await store.deleteContribution(id, 'detect')).toBe(true);
    expect(await store.deleteContribution(id, 'detect')).toBe(false);
  });

  it('knows which envelopes are kept, and why, whatever is uploaded or deleted', async () => {
    const { id } = draft('alpha');
    const [given, inForce] = ['d'.repeat(64), 'e'.repeat(64)];
    expect(await store.keptContributions(id, 'detect')).toEqual(new Map());
    await store.keepContribution(id, 'detect', 'given', inForce);
    await store.keepContribution(id, 'detect', 'in-force', inForce);
    await store.keepContribution(id, 'detect', 'given', given);
    const kept = new Map([
      ['given', given],
      ['in-force', inForce],
    ]);
    expect(await store.keptContributions(id, 'detect')).toEqual(kept);
    await store.putContribution(id, { function: 'detect', bytes: 1, sha256: 'f'.repeat(64) });
    await store.deleteContribution(id, 'detect');
    expect(await store.blobsInUse()).toEqual(new Set(['b'.repeat(64), given, inForce]));
    expect((await store.get(id))?.contributions).toMatchObject([{ function: 'classify' }]);
  });

  it('lists the newest first, each with its own contributions', async () => {
    await store.create(draft('beta'));
    const listed = await store.list();
    expect(listed.map(({ collaboration }) => collaboration)).toEqual(['beta', 'alpha']);
    expect(listed.map(({ contributions }) => contributions.length)).toEqual([0, 1]);
  });

  it('refuses a contribution to a collaboration that is not there', async () => {
    await expect(
      store.putContribution('absent-000000000000', { function: 'f', bytes: 1, sha256: 'd'.repeat(64) }),
    ).rejects.toThrow();
  });
});

describe('migrations', () => {
  it('run once, and refuse a folder of a newer version or with other steps', async () => {
    const database = await openPGlite(join(folder, 'migrations'), lock);
    const steps = ['CREATE TABLE one (a integer)', 'ALTER TABLE one ADD COLUMN b text'];
    await migrate(database, now, steps.slice(0, 1));
    await migrate(database, now, steps);
    await migrate(database, now, steps);
    await expect(migrate(database, now, steps.slice(0, 1))).rejects.toMatchObject({ code: 'store/schema-newer' });
    await expect(migrate(database, now, ['CREATE TABLE uno (a integer)', steps[1] ?? ''])).rejects.toMatchObject({
      code: 'store/schema-edited',
    });
    // A step that fails leaves nothing of itself behind.
    await expect(migrate(database, now, [...steps, 'CREATE TABLE two (a integer); SELECT nonsense'])).rejects.toThrow();
    await migrate(database, now, [...steps, 'CREATE TABLE two (a integer)']);
    await database.close();
    expect(MIGRATIONS.length).toBeGreaterThan(0);
  });
});

describe('kill -9', () => {
  it('loses nothing that was acknowledged, and the folder opens again', async () => {
    const own = join(folder, 'killed');
    const program = await bundled('test/orchestrator/store/store-writer.ts');
    const child = spawn(process.execPath, [program, own], { stdio: ['ignore', 'pipe', 'inherit'] });
    let acknowledged = 0;
    for await (const chunk of child.stdout) {
      acknowledged += String(chunk).split('\n').length - 1;
      if (acknowledged >= 25 && !child.killed) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    expect(child.signalCode).toBe('SIGKILL');

    const again = await lockDataFolder(own);
    const store = await createSqlStore(await openPGlite(join(own, 'database'), again), now);
    const listed = await store.list();
    expect(listed.length).toBeGreaterThanOrEqual(acknowledged);
    expect(listed.every(({ contributions }) => contributions.length <= 1)).toBe(true);
    await store.close();
    await again.release();
  });
});
