/**
 * A model's owner hands it over: the host stores the ciphertext, the party names it by its hash, and the party's KMS
 * gives its key to this measured image alone.
 */
import { Failure } from '../../policies/failure.ts';
import type { Gate } from '../gate.ts';
import { fromHex } from '../encoding/hex.ts';
import { MODEL_CODES } from '../functions/model-refusal.ts';
import type { PaddedAnswer } from '../protocol/answer.ts';
import { padPlain } from '../protocol/answer.ts';
import type { Contribute } from '../protocol/request.ts';
import { demandUnexpired, functionOf } from './admit.ts';
import type { Authenticated } from './authenticate.ts';
import { authenticate, kmsRefusal } from './authenticate.ts';
import type { OpenedRequest } from './open.ts';
import { Refused, orRefusal } from './refused.ts';
import type { Session } from './authenticate.ts';

export async function contribute(
  gate: Gate,
  session: Session,
  opened: OpenedRequest<Contribute>,
  signal: AbortSignal,
): Promise<PaddedAnswer> {
  const slot = gate.slots.enter(`contribution ${session.party}`);
  try {
    const outcome = await orRefusal(async () => {
      if (slot === undefined) throw new Refused('busy', 'a contribution of this party is still under way');
      return take(gate, await authenticate(gate, session, opened), signal);
    });
    if (typeof outcome !== 'string') return padPlain({ t: 'refused', ...outcome });
    return padPlain({ t: 'contributed', modelSha256: fromHex(outcome) });
  } finally {
    slot?.();
  }
}

/** SHA-256 of the model that is now in place, hex. */
async function take(gate: Gate, { session, request }: Authenticated<Contribute>, signal: AbortSignal): Promise<string> {
  const found = functionOf(gate, request.function);
  if (found === undefined) throw new Refused('unknown-function');
  if (found.uses === 'counter') throw new Refused('not-permitted', 'a counter takes no model');
  if (found.model.from !== session.party)
    throw new Refused('not-permitted', `the model is ${found.model.from}'s to give`);
  demandMark(gate, request);
  await demandUnexpired(gate);
  try {
    return await gate.contributions.take(session, request, found, signal);
  } catch (error) {
    throw contributionRefusal(error);
  }
}

/**
 * In debug mode the host reads the enclave's console and may run any other image in its place: nobody's weights belong
 * there, and only what its owner marked as test data is taken. Elsewhere the mark is a mistake, of which the owner should
 * hear: parties would call a model that was meant for a trial.
 */
function demandMark(gate: Gate, { testData }: Contribute): void {
  if (gate.debug === testData) return;
  throw new Refused(
    'not-permitted',
    gate.debug
      ? 'this enclave runs in debug mode, where its host can look inside: it takes only what is marked as test data'
      : 'this enclave does not run in debug mode: it takes no test data',
  );
}

interface Told {
  readonly code: string;
  readonly message: string;
  readonly where: string | undefined;
}

function contributionRefusal(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const { code, message, where }: Told = error;
  if (MODEL_CODES.some((known) => known === code))
    return new Refused('model-refused', where === undefined ? message : `${message} (${where})`);
  if (code.startsWith('kms/')) return kmsRefusal(error);
  if (code === 'claim/unavailable' || code === 'state/contended') return new Refused('unavailable', message);
  if (code === 'claim/tampered') return new Refused('anchor-tampered', message);
  if (code.startsWith('state/')) return new Refused('state-refused', code);
  // Not in the host's words: a refusal is sealed, and its reader takes it for the enclave's.
  if (code === 'host/not-stored') return new Refused('unavailable', 'the host did not keep the record of it');
  if (code.startsWith('jail/')) return new Refused('model-refused', 'the computing process could not be started');
  // The host, the NSM or the clock: the next time it may.
  if (error.kind === 'environment')
    return new Refused('unavailable', `something that it needs did not answer (${code})`);
  // What the host stored is not what the party named: absent, another, changed, cut, or made for something else.
  const detail = code.startsWith('contribution/') ? message : `what the host has is not to be read (${code})`;
  return new Refused('contribution-mismatch', detail);
}
