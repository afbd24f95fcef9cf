import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import {
  DETAIL_CHARACTERS,
  PLAIN_PAD_BYTES,
  fitsAnswer,
  padAnswer,
  padPlain,
  unpadAnswer,
} from '../../../enclave/protocol/answer.ts';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { REFUSALS } from '../../../enclave/protocol/refusal.ts';
import type { RefusalCode } from '../../../enclave/protocol/refusal.ts';
import { Failure } from '../../../policies/failure.ts';

const CODES = Object.keys(REFUSALS).filter((code): code is RefusalCode => code in REFUSALS);
const ANSWERS: readonly Answer[] = [
  { t: 'authenticated', party: 'alice' },
  { t: 'answer', output: '{"labels":[{"label":"naevus","score":0.97}]}' },
  { t: 'refused', refused: 'quota-exceeded' },
  { t: 'refused', refused: 'input-invalid', detail: 'a picture of 1 x 1 pixels; at least 8 x 8 are needed' },
  { t: 'contributed', modelSha256: new Uint8Array(32).fill(1) },
  { t: 'status', status: '{"functions":{}}' },
];

test.each(ANSWERS)('$t comes back as it went, in exactly as many bytes as asked', (answer) => {
  for (const padTo of [512, 1024, LIMITS.padToBytes]) {
    const padded = padAnswer(answer, padTo);
    expect(padded).toHaveLength(padTo);
    expect(unpadAnswer(padded)).toEqual(answer);
  }
});

test('success and every refusal have one size', () => {
  const sizes = new Set([
    padAnswer({ t: 'answer', output: '{}' }, 1024).length,
    ...CODES.map((refused) => padAnswer({ t: 'refused', refused, detail: 'x'.repeat(200) }, 1024).length),
  ]);
  expect([...sizes]).toEqual([1024]);
});

test('what belongs to no function has a multiple of 4 KiB', () => {
  expect(padPlain({ t: 'authenticated', party: 'alice' })).toHaveLength(PLAIN_PAD_BYTES);
  expect(padPlain({ t: 'status', status: 'x'.repeat(PLAIN_PAD_BYTES) })).toHaveLength(2 * PLAIN_PAD_BYTES);
});

test('the largest padded answer fits a frame once it is sealed and wrapped', () => {
  expect(LIMITS.padToBytes + 16 + 32).toBeLessThan(LIMITS.frameBytes);
});

test('what does not fit is said, not cut', () => {
  const answer: Answer = { t: 'answer', output: 'x'.repeat(100) };
  const exact = encodedLength(answer);
  expect(fitsAnswer(answer, exact)).toBe(true);
  expect(padAnswer(answer, exact)).toHaveLength(exact);
  expect(fitsAnswer(answer, exact - 1)).toBe(false);
  expect(() => padAnswer(answer, exact - 1)).toThrow(expect.objectContaining({ code: 'answer/too-long' }));
  for (const padTo of [0, -1, 1.5, LIMITS.padToBytes + 1]) expect(() => padAnswer(answer, padTo)).toThrow(RangeError);
});

function encodedLength(answer: Answer): number {
  let length = 1;
  while (!fitsAnswer(answer, length)) length++;
  return length;
}

describe('a refusal’s detail', () => {
  const detailOf = (detail: string): string | undefined => {
    const answer = unpadAnswer(padAnswer({ t: 'refused', refused: 'input-invalid', detail }, 4096));
    return answer.t === 'refused' ? answer.detail : undefined;
  };

  test('is cut at 200 characters, never inside one', () => {
    expect(detailOf('x'.repeat(1000))).toBe('x'.repeat(DETAIL_CHARACTERS));
    expect(detailOf('🦄'.repeat(1000))).toBe('🦄'.repeat(DETAIL_CHARACTERS));
  });

  test('whatever a decoder’s message holds, it is a text that CBOR takes', () => {
    expect(detailOf('half \ud800 a pair')).toBe('half \ufffd a pair');
    expect(detailOf('\ufeffmark')).toBe('mark');
    expect(detailOf('\ufeff\ufeffma\ufeffrk')).toBe('ma\ufeffrk');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (detail) => detailOf(detail) !== undefined),
      { numRuns: 40 },
    );
  });
});

describe('refused', () => {
  const wrap = (body: Uint8Array, padTo = 200): Uint8Array => {
    const padded = new Uint8Array(padTo);
    new DataView(padded.buffer).setUint32(0, body.length);
    padded.set(body, 4);
    return padded;
  };
  const map = (entries: Readonly<Record<string, CborValue>>): Uint8Array =>
    encodeCbor(new Map(Object.entries(entries)));
  const set = (array: Uint8Array, at: number, value: number): Uint8Array => array.map((b, i) => (i === at ? value : b));
  const HOSTILE: Readonly<Record<string, Uint8Array>> = {
    empty: new Uint8Array(0),
    threeBytes: new Uint8Array(3),
    nothingInside: new Uint8Array(100),
    lengthBeyond: set(wrap(map({ t: 'answer', output: '' })), 0, 255),
    paddingWithAMessage: set(wrap(map({ t: 'answer', output: '' })), 199, 1),
    lengthTooShort: set(wrap(map({ t: 'answer', output: 'abc' })), 3, 5),
    unknownType: wrap(map({ t: 'secret' })),
    unknownRefusal: wrap(map({ t: 'refused', refused: 'because' })),
    refusalFromThePrototype: wrap(map({ t: 'refused', refused: 'toString' })),
    extraKey: wrap(map({ t: 'answer', output: '', also: 1 })),
    hugeDetail: wrap(map({ t: 'refused', refused: 'busy', detail: 'x'.repeat(801) }), 1000),
    shortDigest: wrap(map({ t: 'contributed', modelSha256: new Uint8Array(31) })),
  };
  test.each(Object.entries(HOSTILE))('%s', (_, padded) => {
    expect(() => unpadAnswer(padded)).toThrow(Failure);
  });

  test('a length that reaches a byte beyond, and padding that says something anywhere', () => {
    const body = map({ t: 'answer', output: 'abc' });
    const exact = wrap(body, 4 + body.length);
    expect(unpadAnswer(exact)).toStrictEqual({ t: 'answer', output: 'abc' });
    expect(() => unpadAnswer(set(exact, 3, body.length + 1))).toThrow('longer than its padding');
    expect(() => unpadAnswer(new Uint8Array(3))).toThrow('less than 4 bytes');
    for (let at = 4 + body.length; at < 200; at++) {
      expect(() => unpadAnswer(set(wrap(body), at, 1)), `byte ${at}`).toThrow('the padding is not zero');
    }
  });

  test.each<readonly [what: string, entries: Readonly<Record<string, CborValue>>, said: RegExp]>([
    ['a party without a name', { t: 'authenticated', party: '' }, /answer\.party has 0 bytes/],
    ['a party with too long a name', { t: 'authenticated', party: 'a'.repeat(64) }, /answer\.party has 64 bytes/],
    ['a short digest', { t: 'contributed', modelSha256: new Uint8Array(31) }, /modelSha256 has 31 bytes/],
    ['a long detail', { t: 'refused', refused: 'busy', detail: 'x'.repeat(801) }, /detail has 801 bytes/],
    ['depth', { t: [[0]] }, /nested deeper/],
    ['many entries', { t: 'status', a: 1, b: 2, c: 3 }, /more than 7 items/],
  ])('%s, and why', (_, entries, said) => {
    expect(() => unpadAnswer(wrap(map(entries), 1_000))).toThrow(said);
  });

  test('a refusal without a detail has none', () => {
    const answer = unpadAnswer(padAnswer({ t: 'refused', refused: 'busy' }, 512));
    expect(answer).toStrictEqual({ t: 'refused', refused: 'busy' });
  });

  test('any bytes give an answer or a coded failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (padded) => {
        try {
          unpadAnswer(padded);
        } catch (error) {
          expect(error).toMatchObject({ kind: 'malformed' });
        }
      }),
    );
  });
});
