import { createHash, randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { concat } from '../../../enclave/encoding/bytes.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { openStream } from '../../../enclave/crypto/stream.ts';
import { importAeadKey } from '../../../enclave/crypto/aead.ts';
import { hkdfExpand } from '../../../enclave/crypto/kdf.ts';
import { openRecord } from '../../../enclave/state/restore.ts';
import type { RecordPlace } from '../../../enclave/state/record.ts';
import { sealRecord } from '../../../enclave/state/record.ts';
import type { RecordSetting } from '../../../enclave/state/record-header.ts';
import { RECORD_HEADER, encodeRecordHead, readRecord } from '../../../enclave/state/record-header.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { expectSameBytes } from '../../same-bytes.ts';

const CHUNK = 262_144;
const STATE_KEY = new Uint8Array(randomBytes(32));
const PLACE: RecordPlace = { name: 'function.tally', version: 4 };
const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
let setting: RecordSetting;
let otherPolicy: RecordSetting;
beforeAll(async () => {
  setting = { collaboration: 'screening', policyDigest: await policyDigest('one'), keysDigest: random(32) };
  otherPolicy = { ...setting, policyDigest: await policyDigest('other') };
});

const pattern = (length: number): Uint8Array => new Uint8Array(length).map((_, i) => (i * 31 + (i >> 8)) & 255);

interface Sealed {
  readonly sha256: Uint8Array;
  readonly whole: Uint8Array;
}
async function sealed(
  content: Uint8Array,
  place: RecordPlace = PLACE,
  of: RecordSetting = setting,
  key: Uint8Array = STATE_KEY,
): Promise<Sealed> {
  const { sha256, bytes, parts } = await sealRecord(of, place, key, content, random);
  const whole = concat(...parts);
  expect(whole).toHaveLength(bytes);
  return { sha256, whole };
}
const opened = ({ sha256 }: Sealed, handed: Uint8Array | undefined): Promise<Uint8Array> =>
  openRecord(setting, PLACE, sha256, STATE_KEY, handed);

describe('round trip', () => {
  test.each([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])('%i bytes', async (length) => {
    const record = await sealed(pattern(length));
    expect(toHex(record.sha256)).toBe(createHash('sha256').update(record.whole).digest('hex'));
    expectSameBytes(await opened(record, record.whole), pattern(length));
  });

  test('any content, by property, and never the same bytes twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => {
        const content = new Uint8Array(bytes);
        const [one, two] = [await sealed(content), await sealed(content)];
        expect(await opened(one, one.whole)).toEqual(content);
        expect(one.whole).not.toEqual(two.whole);
      }),
    );
  });

  test('not more than a record may hold', async () => {
    const content = new Uint8Array(LIMITS.recordBytes + 1);
    await expect(sealRecord(setting, PLACE, STATE_KEY, content, random)).rejects.toMatchObject({
      code: 'state/record-too-large',
    });
  });

  test('the largest fits what is asked of the host', async () => {
    const { bytes } = await sealRecord(setting, PLACE, STATE_KEY, new Uint8Array(LIMITS.recordBytes), random);
    expect(bytes).toBeLessThanOrEqual(LIMITS.sealedRecordBytes);
  });

  test('says nothing of its content', async () => {
    const content = new TextEncoder().encode('a sentence that nobody else may read');
    const { whole } = await sealed(content);
    expect(toHex(whole)).not.toContain(toHex(content.subarray(0, 8)));
  });
});

/** A record of one short chunk is a STREAM of crypto/stream.ts under the key and the additional data that are said. */
test('another implementation of STREAM reads it', async () => {
  const { whole } = await sealed(pattern(900));
  const { head, chunks } = readRecord(whole) ?? { head: whole, chunks: whole };
  const binding = new Uint8Array(createHash('sha256').update(head).digest());
  const raw = await hkdfExpand(STATE_KEY, concat(new TextEncoder().encode('accord/v1/record\0'), binding), 32);
  const key = { key: await importAeadKey(raw), prefix: new Uint8Array(7), additionalData: binding };
  for await (const part of openStream(key, [chunks])) expect(part).toEqual(pattern(900));
});

describe('the head of a record', () => {
  const head = (change: Readonly<Record<string, CborValue>> = {}): Uint8Array => {
    const fields: Readonly<Record<string, CborValue>> = {
      v: 1,
      collaboration: 'x',
      policy: new Uint8Array(48),
      keys: new Uint8Array(32),
      name: 'a',
      version: 1,
      salt: new Uint8Array(RECORD_HEADER.saltBytes),
      bytes: 1,
      ...change,
    };
    const body = encodeCbor(new Map(Object.entries(fields)));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, body.length);
    return concat(new TextEncoder().encode('ACR1'), length, body);
  };
  test.each<Readonly<Record<string, CborValue>>>([
    {},
    { name: 'n'.repeat(256) },
    { collaboration: 'c'.repeat(256) },
    { version: 0xffff_ffff },
    { version: 0 },
    { bytes: LIMITS.recordBytes },
  ])('is read at its bounds: %j', (change) => {
    expect(readRecord(head(change))?.header).toMatchObject(change);
  });
  test.each<Readonly<Record<string, CborValue>>>([
    { v: 0 },
    { v: 2 },
    { collaboration: 'c'.repeat(257) },
    { policy: new Uint8Array(47) },
    { policy: new Uint8Array(49) },
    { keys: new Uint8Array(31) },
    { keys: new Uint8Array(33) },
    { name: '' },
    { name: 'n'.repeat(257) },
    { version: 0x1_0000_0000 },
    { version: -1 },
    { salt: new Uint8Array(RECORD_HEADER.saltBytes - 1) },
    { salt: new Uint8Array(RECORD_HEADER.saltBytes + 1) },
    { bytes: LIMITS.recordBytes + 1 },
    { more: 1 },
  ])('and is none beyond them: %j', (change) => {
    expect(readRecord(head(change))).toBeUndefined();
  });
});

describe('what the host may hand back instead', () => {
  const LENGTH = 3 * CHUNK + 99;
  const split = (whole: Uint8Array): { readonly head: Uint8Array; readonly chunks: Uint8Array[] } => {
    const { head, chunks } = readRecord(whole) ?? { head: whole, chunks: new Uint8Array(0) };
    const size = CHUNK + 16;
    return { head, chunks: [0, 1, 2, 3].map((i) => chunks.subarray(i * size, (i + 1) * size)) };
  };
  const rechunked = (whole: Uint8Array, change: (chunks: Uint8Array[]) => (Uint8Array | undefined)[]): Uint8Array => {
    const { head, chunks } = split(whole);
    return concat(head, ...change(chunks).filter((chunk) => chunk !== undefined));
  };
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
    const copy = bytes.slice();
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const other = async (change: {
    readonly place?: Partial<RecordPlace>;
    readonly setting?: RecordSetting;
    readonly key?: Uint8Array;
  }): Promise<Uint8Array> =>
    (await sealed(pattern(LENGTH), { ...PLACE, ...change.place }, change.setting, change.key)).whole;
  /** The same content under a header that says something else. */
  const relabelled = (whole: Uint8Array, version: number): Uint8Array => {
    const read = readRecord(whole);
    if (read === undefined) throw new Error('no record');
    return concat(encodeRecordHead({ ...read.header, version }), read.chunks);
  };

  type Tampering = (honest: Uint8Array) => Uint8Array | undefined | Promise<Uint8Array>;
  const TAMPERINGS: Readonly<Record<string, readonly [Tampering, string]>> = {
    loseRecord: [() => undefined, 'state/record-missing'],
    handOlderVersion: [() => other({ place: { version: 3 } }), 'state/record-older'],
    handFirstVersion: [() => other({ place: { version: 0 } }), 'state/record-older'],
    handUnclaimedNewerVersion: [() => other({ place: { version: 5 } }), 'state/record-substituted'],
    handUnclaimedSameVersion: [() => other({}), 'state/record-substituted'],
    swapRecords: [() => other({ place: { name: 'function.other' } }), 'state/record-swapped'],
    swapRecordsOfOneLength: [() => other({ place: { name: 'function.tully' } }), 'state/record-swapped'],
    handOtherCollaborations: [() => other({ setting: { ...setting, collaboration: 'x' } }), 'state/record-foreign'],
    handOtherPolicys: [() => other({ setting: otherPolicy }), 'state/record-foreign'],
    handOtherKeySets: [() => other({ setting: { ...setting, keysDigest: random(32) } }), 'state/record-foreign'],
    sealUnderOtherStateKey: [() => other({ key: random(32) }), 'state/record-changed'],
    relabelOldAsNew: [async () => relabelled(await other({ place: { version: 3 } }), 4), 'state/record-changed'],
    swapFirstTwoChunks: [(w) => rechunked(w, ([a, b, ...rest]) => [b, a, ...rest]), 'state/record-reordered'],
    swapLaterChunks: [(w) => rechunked(w, ([a, b, c, d]) => [a, c, b, d]), 'state/record-reordered'],
    repeatFirstChunk: [(w) => rechunked(w, ([a, , c, d]) => [a, a, c, d]), 'state/record-reordered'],
    dropLastChunk: [(w) => rechunked(w, (chunks) => chunks.slice(0, -1)), 'state/record-truncated'],
    dropMiddleChunk: [(w) => rechunked(w, ([a, , c, d]) => [a, c, d]), 'state/record-truncated'],
    cutOneByte: [(w) => w.subarray(0, -1), 'state/record-truncated'],
    cutAllButOneChunk: [(w) => rechunked(w, ([a]) => [a]), 'state/record-truncated'],
    cutInsideHeader: [(w) => w.subarray(0, 40), 'state/record-changed'],
    handEmptyFile: [() => new Uint8Array(0), 'state/record-changed'],
    handNoise: [() => random(5_000), 'state/record-changed'],
    flipContentBit: [(w) => flipped(w, w.length - 500), 'state/record-changed'],
    flipTagBit: [(w) => flipped(w, w.length - 1), 'state/record-changed'],
    flipMagicBit: [(w) => flipped(w, 0), 'state/record-changed'],
    appendByte: [(w) => concat(w, Uint8Array.of(0)), 'state/record-changed'],
    appendChunk: [(w) => rechunked(w, (chunks) => [...chunks, chunks[3]]), 'state/record-changed'],
  };
  test.each(Object.entries(TAMPERINGS))('%s', async (_, [tamper, code]) => {
    const honest = await sealed(pattern(LENGTH));
    const handed = await tamper(honest.whole);
    await expect(opened(honest, handed)).rejects.toMatchObject({ code, kind: 'refused', where: PLACE.name });
  });

  test('a record that is cut where a shorter one of full chunks would end', async () => {
    const honest = await sealed(pattern(2 * CHUNK));
    await expect(opened(honest, honest.whole.subarray(0, -(CHUNK + 16)))).rejects.toMatchObject({
      code: 'state/record-truncated',
    });
  });

  test('a record that is claimed for another version than it says', async () => {
    const record = await sealed(pattern(9), { ...PLACE, version: 5 });
    await expect(opened(record, record.whole)).rejects.toMatchObject({ code: 'state/record-substituted' });
  });

  test('any one bit, by property', async () => {
    const honest = await sealed(pattern(300));
    await fc.assert(
      fc.asyncProperty(fc.nat(honest.whole.length * 8 - 1), async (bit) => {
        const changed = honest.whole.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
        await expect(opened(honest, changed)).rejects.toMatchObject({ code: expect.stringMatching(/^state\/record-/) });
      }),
    );
  });

  test('any bytes at all, by property: refused with a code', async () => {
    const honest = await sealed(pattern(10));
    const start = readRecord(honest.whole)?.head ?? honest.whole;
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.uint8Array({ maxLength: 400 }), async (withHead, bytes) => {
        const handed = concat(...(withHead ? [start] : []), bytes);
        await expect(opened(honest, handed)).rejects.toMatchObject({ code: expect.stringMatching(/^state\/record-/) });
      }),
    );
  });
});
