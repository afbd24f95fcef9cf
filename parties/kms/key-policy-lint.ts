/** A key in force, looked at: its policy, its grants and itself. What is left around it, and what must be put right. */
import { ListGrantsCommand } from '@aws-sdk/client-kms';
import type { GrantListEntry, KeyMetadata, KMSClient } from '@aws-sdk/client-kms';
import { awsFailure } from './client.ts';
import { termsOf } from './key-policy-read.ts';
import type { KeyPolicyTerms } from './key-policy.ts';
import { describeKeyPolicy } from './key-policy-words.ts';

export interface KeyPolicyLint {
  /** Undefined for a policy that is none of ours. */
  readonly terms: KeyPolicyTerms | undefined;
  /** What the policy says. */
  readonly words: readonly string[];
  /** What it cannot close, and is worth knowing. */
  readonly notes: readonly string[];
  /** What must be put right before the key protects anything. */
  readonly faults: readonly string[];
}

export function lintKey(key: {
  readonly keyArn: string;
  readonly text: string;
  readonly metadata: KeyMetadata;
  readonly grants: readonly GrantListEntry[];
}): KeyPolicyLint {
  const terms = termsOf(key.text, key.keyArn);
  const { Origin: origin, KeyState: state } = key.metadata;
  return {
    terms,
    words: terms === undefined ? [] : describeKeyPolicy(terms),
    notes: [
      ...(origin === undefined || origin === 'AWS_KMS'
        ? []
        : [`The key's material comes from outside of KMS (${origin}): whoever holds it there can open the key.`]),
      ...(state === 'Disabled' ? ['The key is disabled: until it is enabled again no session opens.'] : []),
      ...key.grants.map(
        ({ GranteePrincipal, Operations = [] }) =>
          `A grant gives ${GranteePrincipal ?? 'somebody'} ${Operations.join(', ')}. The policy's denials beat it; revoke it all the same.`,
      ),
    ],
    faults:
      terms === undefined
        ? [
            'The policy was not written by `accord key-policy`, or was changed since: it is not known to whom the key opens.',
          ]
        : [],
  };
}

/** All grants on the key. Throws `Failure<KmsClientCode>`. */
export async function grantsOn(kms: KMSClient, KeyId: string, signal: AbortSignal): Promise<readonly GrantListEntry[]> {
  const grants: GrantListEntry[] = [];
  let Marker: string | undefined;
  do {
    const page = new ListGrantsCommand({ KeyId, ...(Marker === undefined ? {} : { Marker }) });
    const answer = await kms.send(page, { abortSignal: signal }).catch((cause: unknown) => {
      throw awsFailure(cause, "listing the key's grants");
    });
    grants.push(...(answer.Grants ?? []));
    Marker = answer.Truncated === true ? answer.NextMarker : undefined;
  } while (Marker !== undefined);
  return grants;
}
