/**
 * What the enclave answers, inside the sealed channel. Each plaintext is padded before it is sealed, so that its length
 * says nothing about what happened:
 *
 *     struct {
 *       uint32 length;                    // big-endian
 *       opaque answer[length];            // one CBOR map
 *       opaque zeros[padTo - 4 - length]; // all zero; checked
 *     } PaddedAnswer;
 *
 *     authenticated = { t: "authenticated", party: text[1..63] }
 *     answer        = { t: "answer", output: text }                 // JSON, rebuilt and checked by the gate
 *     refused       = { t: "refused", refused: code, ? detail: text[0..800 bytes] }
 *     contributed   = { t: "contributed", modelSha256: bytes[32] }
 *     status        = { t: "status", status: text }                 // JSON
 *
 * Answers to a call have the `padTo` of its function, refused or not. Everything else is padded to a multiple of 4 KiB.
 */
import { Failure } from '../../policies/failure.ts';
import type { CborValue, MapReader } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import { LIMITS } from './limits.ts';
import { REFUSALS } from './refusal.ts';
import type { Refusal, RefusalCode } from './refusal.ts';

export type AnswerCode =
  | 'answer/malformed' // not one of the answers above, or padding that is not zero
  | 'answer/too-long'; // does not fit its padding

/** Answers that belong to no function are padded to a multiple of this. */
export const PLAIN_PAD_BYTES = 4_096;
/** Characters of a refusal's detail. */
export const DETAIL_CHARACTERS = 200;
const HEAD_BYTES = 4;
const REFUSAL_CODES = Object.keys(REFUSALS).filter((code): code is RefusalCode => Object.hasOwn(REFUSALS, code));

export type Answer =
  | { readonly t: 'authenticated'; readonly party: string }
  | { readonly t: 'answer'; readonly output: string }
  | ({ readonly t: 'refused' } & Refusal)
  | { readonly t: 'contributed'; readonly modelSha256: Uint8Array }
  | { readonly t: 'status'; readonly status: string };

const PADDED: unique symbol = Symbol('PaddedAnswer');

/** Made by `padAnswer` and `padPlain` alone: nothing else may be sealed towards a party. */
export type PaddedAnswer = Uint8Array & { readonly [PADDED]: true };

/** Exactly `padTo` bytes. Throws `answer/too-long`; `fitsAnswer` asks first. A too long detail is cut. */
export function padAnswer(answer: Answer, padTo: number): PaddedAnswer {
  if (!Number.isInteger(padTo) || padTo < 1 || padTo > LIMITS.padToBytes) throw new RangeError(`padTo is ${padTo}`);
  const body = encodeAnswer(answer);
  if (HEAD_BYTES + body.length > padTo) {
    throw new Failure<AnswerCode>(
      'refused',
      'answer/too-long',
      `an answer of ${body.length} bytes does not fit the ${padTo} bytes that the policy pads to`,
      { hint: "raise the function's release.padTo, or lower its output.topK" },
    );
  }
  const padded = new Uint8Array(padTo);
  new DataView(padded.buffer).setUint32(0, body.length);
  padded.set(body, HEAD_BYTES);
  return Object.assign(padded, { [PADDED]: true } as const);
}

/** For answers that belong to no function's call: the smallest multiple of 4 KiB that holds it. */
export function padPlain(answer: Answer): PaddedAnswer {
  const needed = HEAD_BYTES + encodeAnswer(answer).length;
  return padAnswer(answer, PLAIN_PAD_BYTES * Math.ceil(needed / PLAIN_PAD_BYTES));
}

/** Whether `padAnswer` would take it. */
export function fitsAnswer(answer: Answer, padTo: number): boolean {
  return HEAD_BYTES + encodeAnswer(answer).length <= padTo;
}

/** Throws `answer/malformed` or `cbor/…`. */
export function unpadAnswer(padded: Uint8Array): Answer {
  if (padded.length < HEAD_BYTES) throw malformed('an answer of less than 4 bytes');
  const length = new DataView(padded.buffer, padded.byteOffset).getUint32(0);
  if (length > padded.length - HEAD_BYTES) throw malformed('the answer is longer than its padding');
  // Padding that carried something would be a second, unread answer.
  if (padded.subarray(HEAD_BYTES + length).some((byte) => byte !== 0)) throw malformed('the padding is not zero');
  return decodeAnswer(padded.subarray(HEAD_BYTES, HEAD_BYTES + length));
}

function encodeAnswer(answer: Answer): Uint8Array {
  return encodeCbor(new Map<string, CborValue>([['t', answer.t], ...entriesOf(answer)]));
}

function entriesOf(answer: Answer): readonly (readonly [string, CborValue])[] {
  switch (answer.t) {
    case 'authenticated':
      return [['party', answer.party]];
    case 'answer':
      return [['output', answer.output]];
    case 'refused':
      return answer.detail === undefined
        ? [['refused', answer.refused]]
        : [
            ['refused', answer.refused],
            ['detail', shortened(answer.detail)],
          ];
    case 'contributed':
      return [['modelSha256', answer.modelSha256]];
    case 'status':
      return [['status', answer.status]];
  }
}

function decodeAnswer(body: Uint8Array): Answer {
  const map = mapReader<AnswerCode>(
    decodeCbor(body, { maxBytes: LIMITS.padToBytes, maxDepth: 1, maxItems: 7 }),
    'answer/malformed',
    'answer',
  );
  const answer = readAnswer(map);
  map.done();
  return answer;
}

function readAnswer(map: MapReader): Answer {
  const t = map.oneOf('t', ['authenticated', 'answer', 'refused', 'contributed', 'status']);
  switch (t) {
    case 'authenticated':
      return { t, party: map.text('party', { min: 1, max: 63 }) };
    case 'answer':
      return { t, output: map.text('output', {}) };
    case 'refused': {
      const refused = map.oneOf('refused', REFUSAL_CODES);
      // A character outside the basic plane has 4 bytes; the detail was cut by characters.
      const detail = map.optionalText('detail', { max: 4 * DETAIL_CHARACTERS });
      return detail === undefined ? { t, refused } : { t, refused, detail };
    }
    case 'contributed':
      return { t, modelSha256: map.bytes('modelSha256', { exact: 32 }) };
    case 'status':
      return { t, status: map.text('status', {}) };
  }
}

/** By code points, so that no surrogate pair is cut in half; a stray half becomes U+FFFD. */
function shortened(detail: string): string {
  const whole = detail.replaceAll(/\p{Surrogate}/gu, '\uFFFD').replace(/^\uFEFF+/, '');
  return Array.from(whole).slice(0, DETAIL_CHARACTERS).join('');
}

function malformed(message: string): Failure<AnswerCode> {
  return new Failure('malformed', 'answer/malformed', message);
}
