/**
 * What the host keeps for the enclave, all of it sealed or public, on port 8002. What comes back is compared with a hash
 * by whoever asked; what does not come back is refused by name. `reason` is read and not believed.
 *
 *     { t: "contribution", function: text, sha256: bytes[32] }   -> { t: "blob", bytes: uint }, then so many raw bytes
 *                                                                 / { t: "absent" }
 *     { t: "contribution", function: text, earlier: bool }       -> the same: the newest, or the one that was taken last
 *                                                                   where that is another
 *     { t: "contribution-taken", function: text, sha256: bytes[32] }
 *                                                                -> { t: "stored" } / { t: "absent" }
 *     { t: "record-get", sha256: bytes[32] }                     -> the same
 *     { t: "keys-get" }                                          -> the same: the newest set of wrapped keys it was given
 *     { t: "policy-get", digest: text[96] }                      -> the same: a canonical policy
 *     { t: "record-put", bytes: uint, sha256: bytes[32] }, then so many raw bytes
 *                                                                -> { t: "stored" } / { t: "refused", reason: text[0..512] }
 *     { t: "keys-put", bytes: uint, sha256: bytes[32] }, then so many raw bytes
 *                                                                -> the same
 */
import type { Duplex } from 'node:stream';
import type { PolicyDigest } from '../../policies/model.ts';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import { concat } from '../encoding/bytes.ts';
import type { CborValue } from '../encoding/cbor.ts';
import { encodeCbor } from '../encoding/cbor.ts';
import { writeFrame } from '../protocol/frame.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { HostCode } from './exchange.ts';
import { REPLY_BYTES, STALL_MS, ask, exactly, orDestroy, pour, readAnswer } from './exchange.ts';
import type { Vsock } from './socket.ts';
import { PORTS } from './socket.ts';

/** A contribution as it arrives. Whoever does not read to the end calls `close`. */
export interface Blob {
  readonly bytes: number;
  content(): AsyncGenerator<Uint8Array, void, undefined>;
  close(): void;
}

/** Bytes to be kept, one part after the other. */
export interface StoredBytes {
  /** SHA-256 of all parts: the name under which they are asked for. */
  readonly sha256: Uint8Array;
  readonly bytes: number;
  readonly parts: readonly Uint8Array[];
}

/**
 * Anybody who reaches the host's interface may store an envelope, so the newest is not always the owner's. A model is
 * asked for by the SHA-256 that its owner or the sealed state names; an anchor's credential is known by what it opens,
 * and where the newest opens nothing, the `earlier` one is asked for: the last that an enclave took.
 */
export type WantedContribution = { readonly sha256: Uint8Array } | { readonly earlier: boolean };

export interface HostStorage {
  /** Undefined where the host has none. Not compared here. */
  contribution(name: string, wanted: WantedContribution, signal: AbortSignal): Promise<Blob | undefined>;
  /**
   * Tells the host which envelope is in force, so that it keeps it whatever is uploaded later. Rejects never: a host that
   * does not heed it has nothing to give after a restart, which is seen then.
   */
  contributionTaken(name: string, sha256: Uint8Array, signal: AbortSignal): Promise<void>;
  /** What the host calls the record of this SHA-256; undefined where it has none. Not compared here. */
  record(sha256: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Resolves once the host says that it keeps the record; throws `host/not-stored` where it will not. */
  putRecord(record: StoredBytes, signal: AbortSignal): Promise<void>;
  /** The set of wrapped keys that the host was given last. A hint: which one counts is written in the anchors. */
  keys(signal: AbortSignal): Promise<Uint8Array | undefined>;
  putKeys(keys: StoredBytes, signal: AbortSignal): Promise<void>;
  /** Canonical text of another policy, by its digest, which whoever asked compares. */
  policy(digest: PolicyDigest, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

type Question = Readonly<Record<string, CborValue>>;

export function createHostStorage(vsock: Vsock, timers: Timers): HostStorage {
  /** An answer with a blob of 1 to `maxBytes`, or the host's word that it has none. */
  const fetch = async (
    question: Question,
    what: string,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<Blob | undefined> => {
    const stream = await vsock.dial(PORTS.blobs, signal);
    return orDestroy(stream, async () => {
      const asking = (limit: AbortSignal) => ask(stream, question, ['blob', 'absent'], REPLY_BYTES, limit);
      const reply = await within(timers, STALL_MS, `the host's answer about ${what}`, asking, signal);
      if (reply.t === 'absent') {
        stream.destroy();
        return undefined;
      }
      const bytes = reply.map.uint('bytes', { min: 1, max: maxBytes });
      reply.map.done();
      return { bytes, content: () => exactly(stream, bytes, what, timers, signal), close: () => void stream.destroy() };
    });
  };

  const fetchWhole = async (
    question: Question,
    what: string,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> => {
    const blob = await fetch(question, what, maxBytes, signal);
    if (blob === undefined) return undefined;
    const whole = new Uint8Array(blob.bytes);
    let at = 0;
    for await (const part of blob.content()) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  };

  const store = async (
    t: 'record-put' | 'keys-put',
    { sha256, bytes, parts }: StoredBytes,
    what: string,
    signal: AbortSignal,
  ): Promise<void> => {
    const stream = await vsock.dial(PORTS.blobs, signal);
    try {
      await writeFrame(stream, encodeCbor(new Map<string, CborValue>([['t', t], ['bytes', bytes], ['sha256', sha256]])), signal); // prettier-ignore
      await pour(stream, parts, what, timers, signal);
      await demandStored(stream, what, timers, signal);
    } finally {
      stream.destroy();
    }
  };

  return {
    contribution: (name, wanted, signal) => {
      const which = 'sha256' in wanted ? { sha256: concat(wanted.sha256) } : { earlier: wanted.earlier };
      const question = { t: 'contribution', function: name, ...which };
      return fetch(question, 'a contribution', LIMITS.contributionBytes, signal);
    },
    async contributionTaken(name, sha256, signal) {
      const question = { t: 'contribution-taken', function: name, sha256: concat(sha256) };
      try {
        const stream = await vsock.dial(PORTS.blobs, signal);
        try {
          const asking = (limit: AbortSignal) => ask(stream, question, ['stored', 'absent'], REPLY_BYTES, limit);
          await within(timers, STALL_MS, "the host's answer about what was taken", asking, signal);
        } finally {
          stream.destroy();
        }
      } catch {
        // As said above.
      }
    },
    record: (sha256, signal) =>
      fetchWhole({ t: 'record-get', sha256: concat(sha256) }, 'a record', LIMITS.sealedRecordBytes, signal),
    putRecord: (record, signal) => store('record-put', record, 'a record', signal),
    keys: (signal) => fetchWhole({ t: 'keys-get' }, 'the wrapped keys', LIMITS.keySetBytes, signal),
    putKeys: (keys, signal) => store('keys-put', keys, 'the wrapped keys', signal),
    policy: (digest, signal) => fetchWhole({ t: 'policy-get', digest }, 'a policy', LIMITS.policyBytes, signal),
  };
}

async function demandStored(stream: Duplex, what: string, timers: Timers, signal: AbortSignal): Promise<void> {
  const { t, map } = await within(
    timers,
    STALL_MS,
    `the host's answer about ${what}`,
    (limit) => readAnswer(stream, ['stored', 'refused'], REPLY_BYTES, limit),
    signal,
  );
  if (t === 'refused') {
    const reason = map.text('reason', { max: 512 }).replaceAll(/[^\x20-\x7e]+/g, ' ');
    throw new Failure<HostCode>('environment', 'host/not-stored', `the host does not keep ${what}: ${reason}`);
  }
  map.done();
}
