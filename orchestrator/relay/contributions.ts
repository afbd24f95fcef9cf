/**
 * Contributions on their way into the enclave (host port 8002): ciphertext that the host stored and cannot read.
 *
 *     enclave -> host   frame { t: "contribution", function: text }     a function's name, or `anchor.<party>`
 *     host -> enclave   frame { t: "blob", bytes: N } then N raw bytes, then the end
 *                     | frame { t: "absent" }
 */
import type { Duplex } from 'node:stream';
import type { MapReader } from '../../enclave/encoding/cbor.ts';
import type { Notebook } from './observations.ts';
import { give } from './sealed-records.ts';
import type { Given } from './sealed-records.ts';

/** Undefined where nothing was contributed under the name. */
export type FindContribution = (name: string) => Promise<Given | undefined>;

/** `anchor.` and a party's name of 63 characters. */
const NAME_CHARACTERS = 70;

export async function giveContribution(
  connection: Duplex,
  question: MapReader,
  find: FindContribution,
  notebook: Notebook,
): Promise<void> {
  const name = question.text('function', { min: 1, max: NAME_CHARACTERS });
  question.done();
  await give(connection, await find(name), notebook.service(`contribution of ${name}`));
}
