/** Everything that AWS in miniature remembers. Policies are kept as the texts that were put, so that they read back as such. */
import type { EncryptionContext } from '../../enclave/protocol/context.ts';

export interface State {
  readonly version: 2;
  /** AES-256 key (base64) that seals session tokens; with it a restart honours the tokens given out before. */
  readonly tokenKey: string;
  readonly accounts: readonly Account[];
  readonly keys: readonly KmsKey[];
}

export interface Account {
  /** Twelve digits. */
  readonly id: string;
  /** The name of its profile in the AWS configuration: alice, bob, charlie, host. */
  readonly name: string;
  readonly users: readonly User[];
  readonly roles: readonly Role[];
}

export interface User {
  readonly name: string;
  readonly arn: string;
  /** AIDA… */
  readonly userId: string;
  /** Milliseconds. */
  readonly createdAt: number;
  /** At most two, as in AWS. */
  readonly accessKeys: readonly AccessKey[];
  readonly policies: readonly InlinePolicy[];
  /** Whether the AWS configuration in the data folder has a profile of this user's name. */
  readonly profile: boolean;
}

export interface AccessKey {
  /** AKIA… */
  readonly id: string;
  readonly secret: string;
  /** Milliseconds. */
  readonly createdAt: number;
}

export interface InlinePolicy {
  readonly name: string;
  readonly document: string;
}

export interface Role {
  readonly name: string;
  readonly arn: string;
  /** AROA… */
  readonly roleId: string;
  readonly trustPolicy: string;
  readonly policies: readonly string[];
  readonly maxSessionSeconds: number;
}

export interface KmsKey {
  readonly arn: string;
  readonly keyId: string;
  readonly account: string;
  readonly region: string;
  readonly description: string;
  /** Milliseconds. */
  readonly createdAt: number;
  readonly state: 'Enabled' | 'Disabled' | 'PendingDeletion';
  /** Milliseconds; only while `PendingDeletion`. Afterwards the key and its material are gone. */
  readonly deleteAt?: number;
  readonly policy: string;
  /** 32 bytes, base64. Never leaves this folder. */
  readonly material: string;
  readonly grants: readonly Grant[];
}

export interface Grant {
  readonly id: string;
  readonly token: string;
  readonly name?: string;
  readonly createdAt: number;
  readonly issuingAccount: string;
  readonly grantee: string;
  readonly retiring?: string;
  readonly operations: readonly string[];
  readonly constraints?: {
    readonly EncryptionContextSubset?: EncryptionContext;
    readonly EncryptionContextEquals?: EncryptionContext;
  };
}

export function findKey(state: State, arn: string): KmsKey | undefined {
  return state.keys.find((key) => key.arn === arn);
}

export function withKey(state: State, key: KmsKey): State {
  return { ...state, keys: [...state.keys.filter(({ arn }) => arn !== key.arn), key] };
}

/** The ARNs of principals that exist: key policies and grants may name no others. */
export function principalExists(state: State, arn: string): boolean {
  const [, , service, , accountId, resource = ''] = arn.split(':');
  const account = state.accounts.find(({ id }) => id === accountId);
  if (account === undefined) return false;
  if (service === 'sts') {
    const [kind, role] = resource.split('/');
    return kind === 'assumed-role' && account.roles.some(({ name }) => name === role);
  }
  return resource === 'root' || [...account.users, ...account.roles].some((each) => each.arn === arn);
}
