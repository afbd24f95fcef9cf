/**
 * Contributions on their way into the enclave (host port 8002): ciphertext that the host stored and cannot read. `function`
 * is a function's name, or `anchor.<party>`.
 *
 *     enclave -> host   frame { t: "contribution", function: text, sha256: bytes[32] }
 *                     | frame { t: "contribution", function: text, earlier: bool }     the newest, or the one in force
 *     host -> enclave   frame { t: "blob", bytes: N } then N raw bytes, then the end
 *                     | frame { t: "absent" }
 *
 *     enclave -> host   frame { t: "contribution-taken", function: text, sha256: bytes[32] }     it is in force
 *     host -> enclave   frame { t: "stored" } | { t: "absent" }
 */
import type { Duplex } from 'node:stream';
import { toHex } from '../../enclave/encoding/hex.ts';
import type { MapReader } from '../../enclave/encoding/cbor.ts';
import { writeReply } from './ask.ts';
import type { Notebook } from './observations.ts';
import { give } from './sealed-records.ts';
import type { Given } from './sealed-records.ts';

/** SHA-256 as lower-case hex; or the newest; or (`earlier`) the one in force, where that is not the newest. */
export type WantedEnvelope = { readonly sha256: string } | { readonly earlier: boolean };

export interface ContributionKeeper {
  /** Undefined where there is none. */
  give(name: string, wanted: WantedEnvelope): Promise<Given | undefined>;
  /** False where it is not there. `sha256` as lower-case hex. */
  taken(name: string, sha256: string): Promise<boolean>;
}

/** `anchor.` and a party's name of 63 characters. */
const NAME_CHARACTERS = 70;
const HASH_BYTES = 32;

export async function giveContribution(
  connection: Duplex,
  question: MapReader,
  keeper: ContributionKeeper,
  notebook: Notebook,
): Promise<void> {
  const name = question.text('function', { min: 1, max: NAME_CHARACTERS });
  const sha256 = question.optionalBytes('sha256', { exact: HASH_BYTES });
  // Images of the first versions ask for the newest, without a word.
  const earlier = question.has('earlier') && question.boolean('earlier');
  const wanted = sha256 === undefined ? { earlier } : { sha256: toHex(sha256) };
  question.done();
  await give(connection, await keeper.give(name, wanted), notebook.service(`contribution of ${name}`));
}

export async function noteTaken(
  connection: Duplex,
  question: MapReader,
  keeper: ContributionKeeper,
  notebook: Notebook,
): Promise<void> {
  const name = question.text('function', { min: 1, max: NAME_CHARACTERS });
  const sha256 = toHex(question.bytes('sha256', { exact: HASH_BYTES }));
  question.done();
  const seen = notebook.service(`to keep the contribution of ${name}`);
  try {
    const t = (await keeper.taken(name, sha256)) ? 'stored' : 'absent';
    await writeReply(connection, { t });
    seen.closed(t);
  } finally {
    seen.closed('broken off');
  }
}
