/**
 * Authentication by KMS key. The party shows that it may `Encrypt` under its key for purpose `session`: it had its own
 * KMS encrypt the channel's challenge, and here KMS opens that, attested. The challenge is a secret of this one channel,
 * so neither a ciphertext of another session nor one that somebody else obtained proves anything.
 */
import { Failure } from '../../policies/failure.ts';
import { constantTimeEqual } from '../crypto/digest.ts';
import type { EncryptionContext } from '../protocol/context.ts';
import type { Authenticate } from '../protocol/request.ts';
import type { AttestedCode, AttestedDecrypt } from './attested.ts';

export type ChallengeCode = AttestedCode | 'kms/wrong-challenge';

/** Throws unless the ciphertext holds exactly this channel's challenge. */
export async function checkChallenge(
  decrypt: AttestedDecrypt,
  request: Pick<Authenticate, 'keyArn' | 'ciphertext' | 'credentials'>,
  context: EncryptionContext,
  challenge: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const { keyArn, ciphertext, credentials } = request;
  const shown = await decrypt({ keyArn, ciphertext, credentials, context }, signal);
  if (!constantTimeEqual(shown, challenge)) {
    throw new Failure<ChallengeCode>('refused', 'kms/wrong-challenge', 'this is not the challenge of this session');
  }
}
