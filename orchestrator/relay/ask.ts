/**
 * One question and one answer: how the enclave speaks to a host service. The question is one small frame, read within
 * a time; whatever is wrong with it ends the connection, and nothing else.
 */
import type { Duplex } from 'node:stream';
import { decodeCbor, encodeCbor, mapReader } from '../../enclave/encoding/cbor.ts';
import type { CborValue, MapReader } from '../../enclave/encoding/cbor.ts';
import { frameReader, writeFrame } from '../../enclave/protocol/frame.ts';

export type AskCode = 'relay/question-malformed';

/** `t`, a host name of at most 253 bytes or a function's name, a port: 1 KiB is plenty. */
const QUESTION_BYTES = 1024;
const QUESTION_MS = 10_000;

/** The first frame of a connection, as a map whose keys are still to be asked for. Undefined where none came. */
export async function readQuestion(connection: Duplex): Promise<MapReader | undefined> {
  const body = await frameReader(connection, QUESTION_BYTES).readFrame(AbortSignal.timeout(QUESTION_MS));
  if (body === undefined) return undefined;
  return mapReader<AskCode>(
    decodeCbor(body, { maxBytes: QUESTION_BYTES, maxDepth: 1, maxItems: 16 }),
    'relay/question-malformed',
    'question',
  );
}

export function writeReply(connection: Duplex, reply: Readonly<Record<string, CborValue>>): Promise<void> {
  return writeFrame(connection, encodeCbor(new Map(Object.entries(reply))));
}

/** What was written must be taken within so long, and the other side's end is waited for so long. */
const FLUSH_MS = 30_000;
const END_MS = 2_000;

/**
 * Lets what was written go out, then closes. The other side closes first if it is quick, as it does where it counts
 * bytes; its end is not relied upon, since over vsock it may not come.
 */
export function finish(connection: Duplex): void {
  let timer = setTimeout(() => connection.destroy(), FLUSH_MS).unref();
  connection.once('close', () => clearTimeout(timer));
  connection.resume();
  connection.end(() => {
    clearTimeout(timer);
    timer = setTimeout(() => connection.destroy(), END_MS).unref();
  });
}
