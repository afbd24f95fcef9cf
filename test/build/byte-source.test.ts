/** Reading ahead: in order, whole, and with a fault told to whoever asks for the piece that has it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { bytesSource, readAhead, type ByteSource } from '../../build/byte-source.ts';

const CONTENT = Uint8Array.from({ length: 20_000_000 }, (_, index) => index % 251);

test('gives the bytes in order, from where it is told', async () => {
  const source = bytesSource(CONTENT, 'content');
  let at = 1_000;
  for await (const piece of readAhead(source, at, 19_000_000)) {
    expect(Buffer.compare(piece, CONTENT.subarray(at, at + piece.length))).toBe(0);
    at += piece.length;
  }
  expect(at).toBe(19_001_000);
});

test('a fault found ahead waits for the caller, however long that works on the piece before', async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', listen);
  try {
    const cut: ByteSource = {
      name: 'cut',
      bytes: CONTENT.length,
      read: async (position, into) => (position === 0 ? into.length : 0),
    };
    const pieces = readAhead(cut, 0, CONTENT.length);
    expect((await pieces.next()).done).toBe(false);
    await sleep(50);
    await expect(pieces.next()).rejects.toMatchObject({ code: 'file/changed' });
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', listen);
  }
});
