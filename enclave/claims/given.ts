/**
 * Answers that were computed, kept under the request they answer. Who asks again is given the same one: a lost answer is
 * not a lost call, whatever became of the model meanwhile, and nobody learns a second answer from one ticket, whatever
 * the model would say the second time. Each party has a share of its own; in it, the oldest answers make room.
 */
import { constantTimeEqual } from '../crypto/digest.ts';
import { toHex } from '../encoding/hex.ts';

export interface GivenRequest {
  readonly function: string;
  readonly party: string;
  readonly requestId: Uint8Array;
  /** SHA-256 of the input as it arrived. */
  readonly inputDigest: Uint8Array;
}

export interface GivenAnswers<T> {
  /** The answer to this request with this input. */
  find(request: GivenRequest): T | undefined;
  /** `bytes` is what the answer takes of the party's share. */
  keep(request: GivenRequest, answer: T, bytes: number): void;
  /** A jail is about to see its input. False once that has happened as often as it may. */
  begin(request: GivenRequest): boolean;
}

/** Computations of one request. Whether one stops, and how, is a word of its own of whoever took a jail over. */
export const MAX_COMPUTATIONS = 16;
/** Requests of one party whose computations are remembered. */
const COMPUTED_REQUESTS = 4_096;

/** 4 MiB for each party: thousands of answers of the usual size. */
const SHARE_BYTES = 4_194_304;
/** What an entry takes beside its answer. */
const ENTRY_BYTES = 512;

interface Kept<T> {
  readonly inputDigest: Uint8Array;
  readonly answer: T;
  readonly bytes: number;
}

interface Share<T> {
  readonly kept: Map<string, Kept<T>>;
  bytes: number;
}

export function createGivenAnswers<T>(shareBytes: number = SHARE_BYTES): GivenAnswers<T> {
  const shares = new Map<string, Share<T>>();
  const computations = new Map<string, Map<string, number>>();
  const nameOf = (request: GivenRequest): string => `${toHex(request.requestId)}/${request.function}`;
  return {
    find(request) {
      const found = shares.get(request.party)?.kept.get(nameOf(request));
      return found !== undefined && constantTimeEqual(found.inputDigest, request.inputDigest)
        ? found.answer
        : undefined;
    },
    keep(request, answer, answerBytes) {
      const share = shares.get(request.party) ?? { kept: new Map<string, Kept<T>>(), bytes: 0 };
      shares.set(request.party, share);
      const name = nameOf(request);
      if (share.kept.has(name)) return; // the first answer is the answer
      const bytes = answerBytes + ENTRY_BYTES;
      share.kept.set(name, { inputDigest: new Uint8Array(request.inputDigest), answer, bytes });
      share.bytes += bytes;
      for (const [oldest, { bytes: freed }] of share.kept) {
        if (share.bytes <= shareBytes) return;
        share.kept.delete(oldest);
        share.bytes -= freed;
      }
    },
    begin(request) {
      const own = computations.get(request.party) ?? new Map<string, number>();
      computations.set(request.party, own);
      const name = nameOf(request);
      const before = own.get(name) ?? 0;
      if (before >= MAX_COMPUTATIONS) return false;
      own.delete(name);
      own.set(name, before + 1);
      const [oldest] = own.keys();
      if (own.size > COMPUTED_REQUESTS && oldest !== undefined) own.delete(oldest);
      return true;
    },
  };
}
