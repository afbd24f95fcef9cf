/** The bytes of an entry: strict, and telling foreign from malformed. */
import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Entry, EntryKind, Place } from '../../../enclave/claims/entry.ts';
import { ENTRY_BYTES, encodeEntry, entryKey, entryOf, parseEntry, readEntry } from '../../../enclave/claims/entry.ts';

const fill = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const key = await entryKey(fill(7));
const place: Place = { name: 'tickets/d/classify/alice', k: 258 };
const ticket: Entry = { kind: 'ticket', first: fill(1), second: fill(2) };
const bytes = await encodeEntry(key, place, ticket);
const changed = (at: number, to: number): Uint8Array => bytes.map((byte, i) => (i === at ? to : byte));

test('is 101 bytes, as the comment above the code says', async () => {
  const name = Buffer.from(place.name);
  const body = Buffer.concat([Buffer.of(1), fill(1), fill(2)]);
  // HKDF-Expand alone (RFC 5869): one block of HMAC-SHA-384.
  const block = createHmac('sha384', fill(7)).update('accord/v1/entries').update(Buffer.of(1)).digest();
  const bound = Buffer.concat([Buffer.of(0, name.length), name, Buffer.of(0, 0, 1, 2), body]);
  const mac = createHmac('sha256', block.subarray(0, 32)).update(bound).digest();
  expect(Buffer.from(bytes)).toEqual(Buffer.concat([Buffer.from('ACC1'), body, mac]));
  expect(bytes).toHaveLength(ENTRY_BYTES);
});

test.each<EntryKind>(['ticket', 'version', 'closed'])('a %s is read as it was written', async (kind) => {
  const entry = kind === 'ticket' ? ticket : entryOf(kind, fill(3));
  const encoded = await encodeEntry(key, place, entry);
  expect(await readEntry(key, place, encoded)).toEqual({ outcome: 'genuine', entry });
  expect(parseEntry(encoded)).toEqual(entry);
});

describe('foreign', () => {
  test.each<[string, Place]>([
    ['another number', { ...place, k: 257 }],
    ['another party', { ...place, name: 'tickets/d/classify/bob' }],
  ])('at %s', async (_, elsewhere) => {
    expect(await readEntry(key, elsewhere, bytes)).toEqual({ outcome: 'foreign' });
  });

  test('under another state key', async () => {
    expect(await readEntry(await entryKey(fill(8)), place, bytes)).toEqual({ outcome: 'foreign' });
  });

  test('with any bit of its fields flipped', async () => {
    for (let at = 5; at < ENTRY_BYTES; at += 1) {
      const flipped = changed(at, (bytes[at] ?? 0) ^ 1);
      expect(await readEntry(key, place, flipped)).toEqual({ outcome: 'foreign' });
    }
  });
});

describe('malformed', () => {
  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['cut', bytes.subarray(0, 100)],
    ['with a byte more', Uint8Array.of(...bytes, 0)],
    ['of another version', changed(3, 0x32)],
    ['of no kind', changed(4, 0)],
    ['of a kind to come', changed(4, 4)],
    ['a version with two fields', changed(4, 2)],
    ['a closing entry with two fields', changed(4, 3)],
  ])('%s', async (_, malformed) => {
    expect(parseEntry(malformed)).toBeUndefined();
    expect(await readEntry(key, place, malformed)).toEqual({ outcome: 'malformed' });
  });

  test('whatever the bytes, reading them ends in one of three words', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), async (any) => {
        expect(['foreign', 'malformed']).toContain((await readEntry(key, place, any)).outcome);
      }),
    );
  });
});

describe('what no caller of ours makes', () => {
  test.each([
    ['', 0],
    ['with space', 0],
    ['line\n', 0],
    ['ü', 0],
    ['a'.repeat(513), 0],
    ['a', -1],
    ['a', 0.5],
    ['a', 2 ** 32],
  ])('a place %j %d', async (name, k) => {
    await expect(encodeEntry(key, { name, k }, ticket)).rejects.toThrow(RangeError);
  });

  test.each<[string, Entry]>([
    ['short', { ...ticket, first: new Uint8Array(31) }],
    ['long', { ...ticket, second: new Uint8Array(33) }],
    ['of two fields where one belongs', { ...ticket, kind: 'version' }],
  ])('an entry that is %s', async (_, entry) => {
    await expect(encodeEntry(key, place, entry)).rejects.toThrow(RangeError);
  });
});
