/**
 * What was asked, and whether it was answered. A call's request id and the digest of its input are on the disk before
 * the first byte is sent, so that Ctrl-C, a crash or a cut line costs no second call: the same command again asks with the
 * same request id, which the enclave answers from the same ticket.
 *
 *     HOME/calls/<request id>.json = { requestId, policyDigest, function, inputSha256, inputBytes, madeAt, outcome,
 *                                       receipt of the answer }
 *     outcome = "open" | "answered" | "closed"
 *
 * Asking again under a request id is free where the call was counted: surely where there is a receipt, possibly where there
 * was no answer (a refusal may have come before the call was counted). With anchors that is so for good, whichever enclave
 * is asked. Without them (`anchors: none`) only the boot that answered, which the receipt names, remembers the call.
 *
 * "open" until an answer came. "closed" means that asking again under this id can bring no other answer.
 */
import { join } from 'node:path';
import { toHex } from '../enclave/encoding/hex.ts';
import type { RefusalCode } from '../enclave/protocol/refusal.ts';
import { REQUEST_ID_BYTES } from '../enclave/protocol/request.ts';
import type { RandomSource } from '../enclave/crypto/random.ts';
import { Failure } from '../policies/failure.ts';
import type { Home } from './home.ts';
import { HEX_384 } from './home.ts';
import { jsonFields, parseJson } from './json-fields.ts';
import { listFiles, makePrivateFolder, readPrivateFile, writePrivateFile } from './private-files.ts';

export type CallsCode =
  | 'calls/malformed'
  | 'calls/unknown' // --retry names no call of this home
  | 'calls/ambiguous' // … or more than one
  | 'calls/other-input'; // … or one with another input or function

const MALFORMED: CallsCode = 'calls/malformed';
const MALFORMED_HINT =
  'it notes a call that may have been counted, and the id under which its answer is free: put the file back from a copy if you can. Without it the same call is a new one and costs another; move it out of calls/ to go on';

export type CallOutcome = 'open' | 'answered' | 'closed';

export interface CallRecord {
  /** Hex, 32 bytes. */
  readonly requestId: string;
  readonly policyDigest: string;
  readonly function: string;
  /** Hex. */
  readonly inputSha256: string;
  readonly inputBytes: number;
  /** ISO 8601. */
  readonly madeAt: string;
  readonly outcome: CallOutcome;
  /** Module id of the enclave that answered: where the policy has no anchors, it alone remembers the call. */
  readonly answeredBy?: string;
}

/** Which enclave answered, when, and what: enough to show later, without the answer itself. */
export interface Receipt {
  /** ISO 8601, by this machine's clock. */
  readonly answeredAt: string;
  readonly moduleId: string;
  readonly pcr0: string;
  /** SHA-256 of the output's JSON, hex. */
  readonly outputSha256: string;
}

export interface CallSubject {
  readonly function: string;
  /** Hex. */
  readonly inputSha256: string;
  readonly inputBytes: number;
}

export interface CallChoice {
  /** `--retry ID`: this call again; the first 8 digits of its id are enough where they are its alone. */
  readonly retry?: string | undefined;
  /** `--new`: another call, even if the same one was never answered. */
  readonly fresh?: boolean | undefined;
}

/**
 * The record to call with: the one that `--retry` names, else an unanswered one of the same function and input under the
 * same policy, else a new one. It is on the disk when this resolves.
 */
export async function chooseCall(
  home: Home,
  subject: CallSubject,
  choice: CallChoice,
  random: RandomSource,
  now: Date,
): Promise<{ readonly record: CallRecord; readonly repeated: boolean }> {
  if (choice.retry !== undefined) {
    return { record: await namedCall(home, subject, choice.retry), repeated: true };
  }
  const unanswered = choice.fresh === true ? undefined : await unansweredCall(home, subject);
  if (unanswered !== undefined) return { record: unanswered, repeated: true };
  const record: CallRecord = {
    requestId: toHex(await random(REQUEST_ID_BYTES)),
    policyDigest: home.pins.policyDigest,
    ...subject,
    madeAt: now.toISOString(),
    outcome: 'open',
  };
  await save(home, record);
  return { record, repeated: false };
}

/**
 * Notes how a call ended, with the receipt of an answer. A call ends once: what the disk holds of an answered or closed
 * one stays as it is, whatever a repetition of it, here or in another process, meets with.
 */
export async function settleCall(
  home: Home,
  record: CallRecord,
  outcome: CallOutcome,
  receipt?: Receipt,
): Promise<void> {
  if (outcome === 'open') return;
  const stored = await readRecord(recordPath(home, record));
  if (stored !== undefined && stored.outcome !== 'open') return;
  await save(home, { ...record, outcome }, receipt);
}

/** What asking again under the same id costs. `anew`: it is counted again. */
export type Price = 'surely-free' | 'free-if-counted' | 'anew';

/** `anchored`: the policy has anchors. `moduleId`: of the enclave that is asked. */
export function priceOf({ outcome, answeredBy }: CallRecord, anchored: boolean, moduleId: string): Price {
  if (outcome !== 'answered') return 'free-if-counted';
  return anchored || answeredBy === moduleId ? 'surely-free' : 'anew';
}

/**
 * What a refusal means for the record. Most leave it open: the same id asks for the same ticket, or for none where none
 * was taken; where anchors or state were not at hand (`unavailable`, `not-open`…) a ticket that was taken is found again.
 * These cannot end otherwise than they did.
 */
export function outcomeOfRefusal(refused: RefusalCode): CallOutcome {
  return refused === 'changed' || refused === 'request-reused' ? 'closed' : 'open';
}

async function namedCall(home: Home, subject: CallSubject, prefix: string): Promise<CallRecord> {
  const records = (await allCalls(home)).filter(({ requestId }) => requestId.startsWith(prefix.toLowerCase()));
  const [found, second] = records;
  if (found === undefined || prefix.length < 8) {
    throw new Failure<CallsCode>('usage', 'calls/unknown', `this home has made no call ${prefix}`, {
      where: join(home.path, 'calls'),
      hint: 'give at least 8 digits of the request id that `accord call` printed',
    });
  }
  if (second !== undefined) {
    throw new Failure<CallsCode>('usage', 'calls/ambiguous', `${records.length} calls begin with ${prefix}`, {
      hint: 'give more digits of the request id',
    });
  }
  if (found.function !== subject.function || found.inputSha256 !== subject.inputSha256) {
    const what = found.function === subject.function ? 'with another input' : `of ${found.function}`;
    throw new Failure<CallsCode>('usage', 'calls/other-input', `call ${prefix} was made ${what}`, {
      hint: 'a retry takes the very same function and input; nothing was sent',
    });
  }
  if (found.policyDigest !== home.pins.policyDigest) {
    throw new Failure<CallsCode>('usage', 'calls/other-input', `call ${prefix} was made under another policy`, {
      hint: 'make a new call without --retry; nothing was sent',
    });
  }
  return found;
}

async function unansweredCall(home: Home, subject: CallSubject): Promise<CallRecord | undefined> {
  const records = (await allCalls(home)).filter(
    (record) =>
      record.outcome === 'open' &&
      record.policyDigest === home.pins.policyDigest &&
      record.function === subject.function &&
      record.inputSha256 === subject.inputSha256,
  );
  return records.sort((a, b) => (a.madeAt < b.madeAt ? -1 : 1))[0];
}

/** All calls that this home has made, in no particular order. */
export async function allCalls(home: Home): Promise<readonly CallRecord[]> {
  const paths = await listFiles(join(home.path, 'calls'), '.json');
  const records = await Promise.all(paths.map(readRecord));
  return records.filter((record) => record !== undefined);
}

async function readRecord(path: string): Promise<CallRecord | undefined> {
  const bytes = await readPrivateFile(path);
  if (bytes === undefined) return undefined;
  const value = parseJson(new TextDecoder().decode(bytes), MALFORMED, path, MALFORMED_HINT);
  const fields = jsonFields(value, MALFORMED, path, MALFORMED_HINT);
  const outcome = fields.text('outcome', /^(open|answered|closed)$/);
  const answeredBy = fields.optionalFields('receipt')?.optionalText('moduleId');
  return {
    requestId: fields.text('requestId', /^[0-9a-f]{64}$/),
    policyDigest: fields.text('policyDigest', HEX_384),
    function: fields.text('function'),
    inputSha256: fields.text('inputSha256', /^[0-9a-f]{64}$/),
    inputBytes: fields.count('inputBytes'),
    madeAt: fields.text('madeAt'),
    outcome: outcome === 'answered' || outcome === 'closed' ? outcome : 'open',
    ...(answeredBy === undefined ? {} : { answeredBy }),
  };
}

async function save(home: Home, record: CallRecord, receipt?: Receipt): Promise<void> {
  await makePrivateFolder(join(home.path, 'calls'));
  await writePrivateFile(recordPath(home, record), `${JSON.stringify({ v: 1, ...record, receipt })}\n`);
}

function recordPath(home: Home, { requestId }: CallRecord): string {
  return join(home.path, 'calls', `${requestId}.json`);
}
