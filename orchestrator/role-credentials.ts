/**
 * The credentials of the host's own role, for enclaves whose coordinator lends it (`--enclave-role-credentials`): the SDK's
 * usual chain on this machine, renewed by it before they expire. The parties decide in their key policies what the role
 * may do; the host alone can do nothing with it, since it cannot attest.
 */
import { createSts } from '../parties/kms/client.ts';
import type { AwsSettings } from '../parties/kms/client.ts';
import { Failure } from '../policies/failure.ts';
import type { FindCredentials, HostCredentials } from './relay/launch-information.ts';

export type RoleCredentialsCode = 'orchestrator/no-role' | 'orchestrator/long-lived-credentials';

/** Tries them once: what is not there, or would not expire, is told at the start. */
export async function openRoleCredentials(
  settings: AwsSettings,
  log: (line: string) => void,
): Promise<FindCredentials> {
  const { config } = createSts(settings);
  const find = async (): Promise<HostCredentials> => {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await config.credentials();
    if (sessionToken === undefined) throw longLived();
    return { accessKeyId, secretAccessKey, sessionToken, expiresAt: expiration?.getTime() ?? Date.now() + UNKNOWN_MS };
  };
  await find().catch((cause: unknown) => {
    throw cause instanceof Failure ? cause : noRole(cause);
  });
  return () =>
    find().catch((error: unknown) => {
      log(`the host's credentials cannot be had now: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    });
}

/** Where a provider does not say when they expire, they are asked for again after so long. */
const UNKNOWN_MS = 900_000;

function longLived(): Failure<RoleCredentialsCode> {
  return new Failure(
    'usage',
    'orchestrator/long-lived-credentials',
    "the credentials of this machine are a user's, and do not expire: enclaves are lent those of a role alone",
    { hint: 'start the orchestrator with a profile that assumes a role (AWS_PROFILE), or on an instance with one' },
  );
}

function noRole(cause: unknown): Failure<RoleCredentialsCode> {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new Failure('environment', 'orchestrator/no-role', `this machine has no AWS credentials to lend: ${message}`, {
    hint: 'leave --enclave-role-credentials out, or give this machine a role (AWS_PROFILE, or the instance profile)',
    cause,
  });
}
