import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBlobs } from '../../../orchestrator/store/blobs.ts';
import type { Blobs } from '../../../orchestrator/store/blobs.ts';

let folder: string;
let blobs: Blobs;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-blobs-'));
  blobs = await openBlobs(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function* breakingOff(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error('the network went away');
}

const MAX = { maxBytes: 1_000_000 };

describe('blobs', () => {
  it('come back whole, under the SHA-256 of their bytes', async () => {
    const bytes = randomBytes(300_001);
    const received = await blobs.receive(pieces(bytes, 1000), { ...MAX, expectedBytes: bytes.length });
    expect(received).toMatchObject({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    await expect(blobs.read(received.sha256)).rejects.toMatchObject({ code: 'store/blob-missing' });
    await received.keep();
    const read = await blobs.read(received.sha256);
    expect(read.bytes).toBe(bytes.length);
    expect(bytes.equals(await buffer(read.stream))).toBe(true);
  });

  it('leave nothing behind when discarded, cut short, too long or broken off', async () => {
    const bytes = randomBytes(5000);
    await (await blobs.receive(pieces(bytes, 100), MAX)).discard();
    await expect(blobs.receive(pieces(bytes, 100), { ...MAX, expectedBytes: 5001 })).rejects.toMatchObject({
      code: 'store/cut-short',
    });
    await expect(blobs.receive(pieces(bytes, 100), { maxBytes: 4999 })).rejects.toMatchObject({
      code: 'store/too-large',
    });
    await expect(blobs.receive(breakingOff(bytes), MAX)).rejects.toThrow('the network went away');
    expect(await readdir(folder)).toEqual([]);
  });

  it('show their first bytes for inspection, however they are cut', async () => {
    const bytes = randomBytes(40_000);
    for (const size of [1, 7, 16_388, 40_000]) {
      const heads: Uint8Array[] = [];
      const inspect = async (head: Uint8Array): Promise<void> => void heads.push(new Uint8Array(head));
      await (
        await blobs.receive(pieces(size === 1 ? bytes.subarray(0, 100) : bytes, size), { ...MAX, inspect })
      ).discard();
      expect(heads.map((head) => Buffer.from(head))).toEqual([bytes.subarray(0, size === 1 ? 100 : 16_388)]);
    }
    const refuse = async (): Promise<void> => {
      throw new Error('not welcome');
    };
    await expect(blobs.receive(pieces(bytes, 1000), { ...MAX, inspect: refuse })).rejects.toThrow('not welcome');
    expect(await readdir(folder)).toEqual([]);
  });

  it('are swept when nobody names them', async () => {
    const kept = await blobs.receive(pieces(randomBytes(10), 10), MAX);
    await kept.keep();
    const lost = await blobs.receive(pieces(randomBytes(10), 10), MAX);
    await lost.keep();
    await writeFile(join(folder, 'abc.part'), 'half');
    await blobs.sweep(new Set([kept.sha256]));
    expect(await readdir(folder)).toEqual([kept.sha256]);
  });

  it('say that the disk is full, and keep nothing of it', async (context) => {
    const small = join(folder, 'small');
    try {
      execFileSync('mkdir', [small]);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small], { stdio: 'ignore' });
    } catch {
      context.skip('a small file system cannot be mounted here (needs root)');
    }
    try {
      const onSmall = await openBlobs(small);
      await expect(onSmall.receive(pieces(randomBytes(900_000), 65_536), MAX)).rejects.toMatchObject({
        kind: 'environment',
        code: 'store/disk-full',
      });
      expect(await readdir(small)).toEqual([]);
      await (await onSmall.receive(pieces(randomBytes(100_000), 65_536), MAX)).keep();
    } finally {
      execFileSync('umount', [small]);
    }
  });
});
