/** `accord key-policy --lint`: the key as it is in force, in words. */
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { describeUsableKey, policyInForce } from '../kms/apply-key-policy.ts';
import { createKms } from '../kms/client.ts';
import type { KeyPolicyLint } from '../kms/key-policy-lint.ts';
import { grantsOn, lintKey } from '../kms/key-policy-lint.ts';
import { printable } from '../printable.ts';
import type { Io } from './verb.ts';

/** Exit code: 0, or 10 where something must be put right. */
export async function lintInForce(
  { key, profile, json }: { readonly key: string; readonly profile: string | undefined; readonly json: boolean },
  io: Io,
): Promise<number> {
  const kms = createKms({ profile, region: parseKmsKeyArn(key).region, env: io.env });
  try {
    const metadata = await describeUsableKey(kms, key, io.signal);
    const [text, grants] = await Promise.all([policyInForce(kms, key, io.signal), grantsOn(kms, key, io.signal)]);
    const lint = lintKey({ keyArn: key, text, metadata, grants });
    io.out(json ? `${JSON.stringify(lint)}\n` : written(key, lint));
    return lint.faults.length === 0 ? 0 : 10;
  } finally {
    kms.destroy();
  }
}

function written(key: string, { words, notes, faults }: KeyPolicyLint): string {
  const list = (mark: string, entries: readonly string[]): string =>
    entries.map((entry) => `  ${mark}${printable(entry)}\n`).join('');
  return `${key}\n${list('', words)}${list('note: ', notes)}${list('FAULT: ', faults)}`;
}
