/**
 * Sealed records on their way between enclave and disk (host port 8002): ciphertext that the host keeps and cannot read.
 *
 *     enclave -> host   frame { t: "record-put" | "keys-put", bytes: N, sha256: bytes[32] }, then N raw bytes
 *     host -> enclave   frame { t: "stored" } | { t: "refused", reason: text }
 *
 *     enclave -> host   frame { t: "record-get", sha256: bytes[32] } | { t: "keys-get" } | { t: "policy-get", digest: text }
 *     host -> enclave   frame { t: "blob", bytes: N }, then N raw bytes | { t: "absent" }
 */
import { once } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import { toHex } from '../../enclave/encoding/hex.ts';
import type { MapReader } from '../../enclave/encoding/cbor.ts';
import { Failure } from '../../policies/failure.ts';
import type { RecordUpload } from '../store/records.ts';
import { writeReply } from './ask.ts';
import type { Notebook, OpenObservation } from './observations.ts';

/** Bytes that the host has, whose number it says first. */
export interface Given {
  readonly bytes: number;
  readonly stream: Readable;
}

/** What one collaboration's enclaves may store and ask for. */
export interface RecordKeeper {
  readonly put: (upload: RecordUpload) => Promise<void>;
  /** Its own records, and those of the policies that it succeeds. */
  get(sha256: string): Promise<Given | undefined>;
  readonly putKeys: (upload: RecordUpload) => Promise<void>;
  keys(): Promise<Given | undefined>;
  /** The canonical policy of this digest, where the host knows it. */
  policy(digest: string): Promise<Given | undefined>;
}

const HASH_BYTES = 32;
const DIGEST_CHARACTERS = 96;
/** Why a record was not stored, as the enclave reports it. */
const REASON_CHARACTERS = 300;

export async function storeRecord(
  connection: Duplex,
  question: MapReader,
  { put, maxBytes }: { readonly put: (upload: RecordUpload) => Promise<void>; readonly maxBytes: number },
  notebook: Notebook,
): Promise<void> {
  const bytes = question.uint('bytes', { min: 1, max: maxBytes });
  const sha256 = toHex(question.bytes('sha256', { exact: HASH_BYTES }));
  question.done();
  const seen = notebook.service('to keep a record');
  const left = { bytes };
  try {
    await put({ source: incoming(connection, left, seen), bytes, sha256 });
    await writeReply(connection, { t: 'stored' });
    seen.closed('stored');
  } catch (error) {
    // A wire that broke gets no answer; whoever asked asks again.
    if (!(error instanceof Failure) || connection.destroyed) throw error;
    // The enclave reads the answer once it has sent all.
    for await (const _ of incoming(connection, left, seen));
    await writeReply(connection, { t: 'refused', reason: error.message.slice(0, REASON_CHARACTERS) });
    seen.closed(`refused: ${error.code}`);
  } finally {
    seen.closed('broken off');
  }
}

export async function giveRecord(
  connection: Duplex,
  question: MapReader,
  keeper: RecordKeeper,
  notebook: Notebook,
): Promise<void> {
  const sha256 = toHex(question.bytes('sha256', { exact: HASH_BYTES }));
  question.done();
  await give(connection, await keeper.get(sha256), notebook.service('for a record'));
}

export async function giveKeys(
  connection: Duplex,
  question: MapReader,
  keeper: RecordKeeper,
  notebook: Notebook,
): Promise<void> {
  question.done();
  await give(connection, await keeper.keys(), notebook.service('for the wrapped keys'));
}

export async function givePolicy(
  connection: Duplex,
  question: MapReader,
  keeper: RecordKeeper,
  notebook: Notebook,
): Promise<void> {
  const digest = question.text('digest', { min: DIGEST_CHARACTERS, max: DIGEST_CHARACTERS });
  question.done();
  await give(connection, await keeper.policy(digest), notebook.service('for an earlier policy'));
}

/** Says how many bytes, then sends them; `absent` where there are none. */
export async function give(connection: Duplex, found: Given | undefined, seen: OpenObservation): Promise<void> {
  if (found === undefined) {
    await writeReply(connection, { t: 'absent' });
    seen.closed('absent');
    return;
  }
  try {
    await writeReply(connection, { t: 'blob', bytes: found.bytes });
    await send(found.stream, connection, seen);
    seen.closed('given');
  } finally {
    found.stream.destroy();
    seen.closed('broken off');
  }
}

/** An enclave that takes or sends nothing for so long is not waited for; between two parts it may have to ask KMS. */
const STALL_MS = 120_000;
/** As long as the enclave gives a whole contribution. */
const TOTAL_MS = 900_000;

async function send(from: Readable, to: Duplex, seen: OpenObservation): Promise<void> {
  const gone = new AbortController();
  const limit = setTimeout(() => gone.abort(), TOTAL_MS).unref();
  to.once('close', () => (gone.abort(), clearTimeout(limit)));
  for await (const chunk of from) {
    if (!(chunk instanceof Uint8Array) || to.destroyed) break;
    seen.saw('to-enclave', chunk.byteLength);
    if (to.write(chunk)) continue;
    const stall = setTimeout(() => gone.abort(), STALL_MS).unref();
    await once(to, 'drain', { signal: gone.signal }).finally(() => clearTimeout(stall));
  }
}

/** So many bytes of the connection, counted down; it stays open for the answer. Fewer where it ends before. */
async function* incoming(
  from: Duplex,
  left: { bytes: number },
  seen: OpenObservation,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (left.bytes === 0) return;
  const stall = setTimeout(() => from.destroy(new Error('nothing came')), STALL_MS).unref();
  const limit = setTimeout(() => from.destroy(new Error('it took too long')), TOTAL_MS).unref();
  try {
    for await (const chunk of from.iterator({ destroyOnReturn: false })) {
      if (!(chunk instanceof Uint8Array)) return;
      stall.refresh();
      const taken = chunk.subarray(0, left.bytes);
      left.bytes -= taken.length;
      seen.saw('from-enclave', taken.length);
      yield taken;
      if (left.bytes === 0) return;
    }
  } finally {
    clearTimeout(stall);
    clearTimeout(limit);
  }
}
