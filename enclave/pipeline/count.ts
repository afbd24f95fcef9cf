/** A call that changes state: nothing of it happens before its ticket is held for good. */
import { Failure } from '../../policies/failure.ts';
import type { CounterAnswer } from '../functions/counter/count.ts';
import { countCall } from '../functions/counter/count.ts';
import type { RefusalCode } from '../protocol/refusal.ts';
import { demandHeld } from './held.ts';
import { Refused } from './refused.ts';
import type { ValidInput } from './validate.ts';

export async function count(
  { name, records, ticket }: Extract<ValidInput, { readonly records: unknown }>,
  signal: AbortSignal,
): Promise<CounterAnswer> {
  await demandHeld(ticket);
  try {
    return await countCall(records, name, ticket, signal);
  } catch (error) {
    throw recordsRefusal(error);
  }
}

/** What a failure of the records means to the caller; any other error as it is. */
function recordsRefusal(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const { code, message }: { readonly code: string; readonly message: string } = error;
  // Nothing in the host's words: a refusal is sealed, and its reader takes it for the enclave's.
  return new Refused(refusedBy(code), /^(claim|state)\//.test(code) ? message : 'the host did not keep the state');
}

/** What the host or the anchors did not do now, they may do later; what they handed back wrong is another matter. */
function refusedBy(code: string): RefusalCode {
  if (code === 'claim/tampered') return 'anchor-tampered';
  return code.startsWith('state/') && code !== 'state/contended' ? 'state-refused' : 'unavailable';
}
