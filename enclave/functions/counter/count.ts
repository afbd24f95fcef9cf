/**
 * A function whose state moves with every call: it counts its calls, and draws a lot for each. The answer to a call is
 * written into the state in the version that the call makes, under the tag of its ticket; whoever asks again finds it
 * there, whatever happened meanwhile.
 *
 *     state = { v: 1, tags: bytes[16 · n] }        // CBOR, deterministic: the tag of each call's ticket, first call first
 *
 * The n-th tag's answer has the count n. Its lot follows from the ticket and need not be kept. A state has 16 bytes for each
 * call, and the policy says how many calls there can be.
 */
import { LOTS } from '../../../policies/answer-schema.ts';
import type { Granted } from '../../claims/tickets.ts';
import { concat } from '../../encoding/bytes.ts';
import type { CborValue } from '../../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../../encoding/cbor.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Records } from '../../state/records.ts';
import { functionRecord } from '../../state/records.ts';
import type { StateCode } from '../../state/state-failure.ts';

export interface CounterAnswer {
  /** Calls counted, this one included: 1, 2, 3, … */
  readonly count: number;
  /** 0 to 999. */
  readonly lot: number;
}

const TAG_BYTES = 16;

/**
 * Counts the call that holds this ticket, once, however often it is made. `name` is the function's. Resolves when a quorum
 * of anchors holds the version in which it is counted. Throws `Failure<RecordsCode>`.
 */
export async function countCall(
  records: Records,
  name: string,
  { tag, draw }: Pick<Granted, 'tag' | 'draw'>,
  signal: AbortSignal,
): Promise<CounterAnswer> {
  const mine = tag.slice(0, TAG_BYTES);
  const count = await records.update(
    functionRecord(name),
    async (current) => {
      const tags = current === undefined ? new Uint8Array(0) : decodeState(current);
      const counted = countOf(tags, mine);
      if (counted !== undefined) return { result: counted };
      return { next: encodeState(concat(tags, mine)), result: tags.length / TAG_BYTES + 1 };
    },
    signal,
  );
  return { count, lot: lotOf(draw) };
}

/** From 48 bits, so that no lot is likelier than another by more than one in 2^38. */
function lotOf(draw: Uint8Array): number {
  return draw.subarray(0, 6).reduce((number, byte) => number * 256 + byte, 0) % LOTS;
}

function countOf(tags: Uint8Array, tag: Uint8Array): number | undefined {
  for (let at = 0; at < tags.length; at += TAG_BYTES) {
    if (tag.every((byte, i) => tags[at + i] === byte)) return at / TAG_BYTES + 1;
  }
  return undefined;
}

function encodeState(tags: Uint8Array): Uint8Array {
  return encodeCbor(new Map<string, CborValue>([['v', 1], ['tags', tags]])); // prettier-ignore
}

function decodeState(bytes: Uint8Array): Uint8Array {
  const value = decodeCbor(bytes, { maxBytes: LIMITS.recordBytes, maxDepth: 1, maxItems: 5 });
  const map = mapReader<StateCode>(value, 'state/record-changed', 'counter');
  map.uint('v', { min: 1, max: 1 });
  const tags = map.bytes('tags', { max: LIMITS.recordBytes });
  map.done();
  return tags;
}
