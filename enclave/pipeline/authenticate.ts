/**
 * Stage 2. OpenedRequest -> Authenticated: who asks. A session is opened once, by a KMS round trip; every request in it
 * is then that party's, as long as the session lives.
 */
import { Failure } from '../../policies/failure.ts';
import type { Gate } from '../gate.ts';
import { checkChallenge } from '../kms/challenge.ts';
import type { ChallengeCode } from '../kms/challenge.ts';
import { sessionContext } from '../protocol/context.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { RefusalCode } from '../protocol/refusal.ts';
import type { Authenticate, EnclaveCredentials, Request } from '../protocol/request.ts';
import type { SealedChannel } from '../protocol/session.ts';
import { CHALLENGE_BYTES, EXPORT_LABELS } from '../protocol/session.ts';
import type { OpenedRequest } from './open.ts';
import { Refused } from './refused.ts';

const SESSION: unique symbol = Symbol('Session');
const AUTHENTICATED: unique symbol = Symbol('Authenticated');

/** One party's session. Only `openSession` makes one. */
export interface Session {
  readonly party: string;
  /** The party's key, which `credentials` may use. */
  readonly keyArn: string;
  readonly channel: SealedChannel;
  /** The party's own, for its own key. Dropped with the session. */
  readonly credentials: EnclaveCredentials;
  /** Time of the NSM from which on nothing is served in it. Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly [SESSION]: true;
}

/** A request and the party that made it. */
export interface Authenticated<R extends Request = Request> {
  readonly session: Session;
  readonly request: R;
  readonly [AUTHENTICATED]: true;
}

/**
 * Opens the session. Refuses with what the policy and the party's own KMS say and nothing else: `not-permitted` for a
 * key that no party owns, `kms-refused`, `kms-unavailable`.
 */
export async function openSession(
  gate: Gate,
  channel: SealedChannel,
  opened: OpenedRequest<Authenticate>,
  signal: AbortSignal,
): Promise<Session> {
  const { keyArn, sessionId, ciphertext, credentials } = opened.request;
  // The hash of this ARN is in the policy: the keyring holds no other.
  const party = gate.keyring.get(keyArn);
  if (party === undefined) throw new Refused('not-permitted', 'this key belongs to no party of the policy');
  const expiresAt = (await gate.issuer.clock.now()) + LIMITS.sessionMs;
  const context = sessionContext({ policyDigest: gate.policyDigest, party, sessionId });
  const challenge = await channel.export(EXPORT_LABELS.challenge, CHALLENGE_BYTES);
  try {
    await checkChallenge(gate.decrypt, { keyArn, ciphertext, credentials }, context, challenge, signal);
  } catch (error) {
    throw kmsRefusal(error);
  }
  return { party, keyArn, channel, credentials, expiresAt, [SESSION]: true };
}

/** Every request of a session but the first. */
export async function authenticate<R extends Request>(
  gate: Gate,
  session: Session,
  opened: OpenedRequest<R>,
): Promise<Authenticated<R>> {
  if ((await gate.issuer.clock.now()) >= session.expiresAt) throw new Refused('session-expired');
  return { session, request: opened.request, [AUTHENTICATED]: true };
}

/** Only "KMS did not answer" is told apart from "KMS, or what it opened, said no". */
const KMS_REFUSALS: Readonly<Record<string, RefusalCode>> = {
  'kms/unavailable': 'kms-unavailable',
  'kms/refused': 'kms-refused',
  'kms/unattested': 'kms-refused',
  'kms/other-key': 'kms-refused',
  'kms/wrong-challenge': 'kms-refused',
  'kms/ber-malformed': 'kms-refused',
  'kms/envelope-malformed': 'kms-refused',
  'kms/envelope-unopened': 'kms-refused',
} satisfies Record<ChallengeCode, RefusalCode>;

/** The refusal for a failure of KMS, with the name of AWS's error; any other error as it is. */
export function kmsRefusal(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const { code, where }: { readonly code: string; readonly where: string | undefined } = error;
  const refused = Object.hasOwn(KMS_REFUSALS, code) ? KMS_REFUSALS[code] : undefined;
  if (refused === undefined) return error;
  return new Refused(refused, code === 'kms/refused' || code === 'kms/unavailable' ? where : undefined);
}
