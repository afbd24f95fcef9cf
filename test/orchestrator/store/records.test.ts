import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRecords } from '../../../orchestrator/store/records.ts';
import type { RecordUpload, SealedRecords } from '../../../orchestrator/store/records.ts';

const ID = 'screening-0123456789ab';
let folder: string;
let records: SealedRecords;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-records-'));
  records = await openRecords(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function upload(bytes: Uint8Array, change: Partial<RecordUpload> = {}): RecordUpload {
  return { source: pieces(bytes), bytes: bytes.length, sha256: sha256(bytes), ...change };
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}

async function read(from: SealedRecords, name: string, id: string = ID): Promise<Buffer | undefined> {
  const found = await from.get(id, name);
  return found === undefined ? undefined : buffer(found.stream);
}

describe('records', () => {
  it('come back by their digest, to their own collaboration alone, also from a store that was opened again', async () => {
    const bytes = randomBytes(50_001);
    await records.put(ID, upload(bytes));
    for (const store of [records, await openRecords(folder)]) {
      expect(bytes.equals((await read(store, sha256(bytes))) ?? Buffer.alloc(0))).toBe(true);
      expect(await read(store, sha256(bytes), 'screening-ba9876543210')).toBeUndefined();
      expect(await store.usage(ID)).toEqual({ records: 1, bytes: bytes.length });
    }
    expect(await records.get(ID, sha256(Buffer.from('another')))).toBeUndefined();
  });

  it('are counted once, however often they are stored', async () => {
    const bytes = randomBytes(1234);
    for (let count = 0; count < 3; count++) await records.put(ID, upload(bytes));
    expect(await records.usage(ID)).toEqual({ records: 1, bytes: 1234 });
    expect(await readdir(join(folder, ID))).toEqual([sha256(bytes)]);
  });

  it.each([
    ['other bytes than announced', { sha256: '0'.repeat(64) }, 'store/record-changed'],
    ['fewer bytes than announced', { bytes: 5001 }, 'store/cut-short'],
    ['more bytes than announced', { bytes: 4999 }, 'store/too-large'],
  ])('of %s are refused, and leave nothing', async (_, change, code) => {
    await expect(records.put(ID, upload(randomBytes(5000), change))).rejects.toMatchObject({ code });
    expect(await readdir(join(folder, ID))).toEqual([]);
    expect(await records.usage(ID)).toEqual({ records: 0, bytes: 0 });
  });

  it('are bounded in number and bytes, also while others are being received', async () => {
    const bounded = await openRecords(folder, { records: 2, bytes: 10_000 });
    const [first, second, third] = [randomBytes(4000), randomBytes(4000), randomBytes(4000)];
    const outcomes = await Promise.allSettled([first, second, third].map((bytes) => bounded.put(ID, upload(bytes))));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(outcomes[2]).toMatchObject({ reason: { code: 'store/records-full' } });
    await bounded.put(ID, upload(first)); // what is there is there
    const other = 'screening-ba9876543210';
    await expect(bounded.put(other, upload(randomBytes(10_001)))).rejects.toMatchObject({ code: 'store/records-full' });
    await bounded.put(other, upload(randomBytes(10_000)));
  });

  it('outlive a process that died in the middle: what was half-written goes, what was stored stays', async () => {
    const bytes = randomBytes(777);
    await records.putKeys(ID, upload(bytes));
    await writeFile(join(folder, ID, 'abcdef.part'), 'half');
    await writeFile(join(folder, ID, 'keys.part'), 'half a na');
    const again = await openRecords(folder);
    expect((await again.usage(ID)).records).toBe(1);
    expect((await readdir(join(folder, ID))).sort()).toEqual([sha256(bytes), 'keys'].sort());
    const keys = await again.keys(ID);
    if (keys === undefined) throw new Error('the keys are gone');
    expect(bytes.equals(await buffer(keys.stream))).toBe(true);
  });
});

describe('the newest set of wrapped keys', () => {
  it('is absent at first, then the one stored last; earlier ones stay as records', async () => {
    expect(await records.keys(ID)).toBeUndefined();
    const sets = [randomBytes(300), randomBytes(301)];
    for (const set of sets) {
      await records.putKeys(ID, upload(set));
      expect((await records.keys(ID))?.bytes).toBe(set.length);
    }
    expect(await read(records, sha256(sets[0] ?? Buffer.alloc(0)))).toHaveLength(300);
  });

  it('is the one before, where another could not be stored', async () => {
    const set = randomBytes(300);
    await records.putKeys(ID, upload(set));
    await expect(records.putKeys(ID, upload(randomBytes(9), { sha256: '1'.repeat(64) }))).rejects.toThrow('announced');
    expect((await records.keys(ID))?.bytes).toBe(300);
  });
});
