/**
 * Contributions on their way into the enclave (host port 8002): ciphertext that the host stored and cannot read.
 *
 *     enclave -> host   frame { t: "contribution", function: text }
 *     host -> enclave   frame { t: "blob", bytes: N } then N raw bytes, then the end
 *                     | frame { t: "absent" }
 */
import { once } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import { finish, readQuestion, writeReply } from './ask.ts';
import type { Notebook, OpenObservation } from './observations.ts';

/** Undefined where nothing was contributed for the function. */
export type FindContribution = (
  functionName: string,
) => Promise<{ readonly bytes: number; readonly stream: Readable } | undefined>;

/** The handler of host port 8002. */
export function contributionService(find: FindContribution, notebook: Notebook): (connection: Duplex) => void {
  return (connection) => {
    connection.on('error', () => {});
    serve(connection, find, notebook).then(
      () => finish(connection),
      () => connection.destroy(),
    );
  };
}

async function serve(connection: Duplex, find: FindContribution, notebook: Notebook): Promise<void> {
  const question = await readQuestion(connection);
  if (question === undefined) return;
  question.oneOf('t', ['contribution']);
  const functionName = question.text('function', { min: 1, max: 63 });
  question.done();

  const seen = notebook.service(`contribution of ${functionName}`);
  const found = await find(functionName);
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

/** An enclave that takes nothing for so long is not waited for; between two parts it may have to ask KMS. */
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
