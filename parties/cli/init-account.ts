/** Whether a home's credentials are of the account that its key is in: another party's profile is found out at once. */
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import { callerIdentity, createSts } from '../kms/client.ts';
import type { KmsClientCode } from '../kms/client.ts';
import type { Io } from './verb.ts';

export type InitAccountCode = 'init/other-account';

/** STS is only a help here: a home can be made where it is not reached. */
const PATIENCE_MS = 5_000;

const NO_SUCH_PROFILE: KmsClientCode = 'aws/no-such-profile';

/** Throws `init/other-account`, `aws/no-such-profile`. Where AWS cannot be asked, says so on stderr and lets it be. */
export async function demandKeysAccount(keyArn: string, profile: string, io: Io): Promise<void> {
  const { region, account } = parseKmsKeyArn(keyArn);
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(PATIENCE_MS)]);
  try {
    const sts = createSts({ profile, region, env: io.env });
    try {
      const caller = await callerIdentity(sts, signal);
      if (caller.account === account) return;
      throw new Failure<InitAccountCode>(
        'refused',
        'init/other-account',
        `the profile "${profile}" belongs to account ${caller.account}, the key to ${account}`,
        { hint: 'name the profile of the party that owns the key; nothing was changed' },
      );
    } finally {
      sts.destroy();
    }
  } catch (error) {
    io.signal.throwIfAborted();
    if (!(error instanceof Failure) || error.kind === 'refused' || error.code === NO_SUCH_PROFILE) throw error;
    const hint = error.hint === undefined ? '' : `\n  ${error.hint}`;
    io.err(
      `note: it was not checked that the profile "${profile}" belongs to the key's account: ${error.message}${hint}\n`,
    );
  }
}
