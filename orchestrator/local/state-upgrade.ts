/** Data folders of earlier versions go on: each step makes the next version's state out of the one before. */
import type { AccessKey, Account, State, User } from './state.ts';

/** Version 1: every user had one access key, policies without names, and a profile. */
interface UserV1 extends Omit<User, 'createdAt' | 'accessKeys' | 'policies' | 'profile'> {
  readonly accessKey: Omit<AccessKey, 'createdAt'>;
  readonly policies: readonly string[];
}

interface StateV1 extends Omit<State, 'version' | 'accounts'> {
  readonly version: 1;
  readonly accounts: readonly (Omit<Account, 'users'> & { readonly users: readonly UserV1[] })[];
}

/** What is of no earlier version comes back as it is; whether it is a state at all is the reader's to say. */
export function upgraded(value: unknown): unknown {
  return isVersion1(value) ? fromVersion1(value) : value;
}

function isVersion1(value: unknown): value is StateV1 {
  return typeof value === 'object' && value !== null && 'version' in value && value.version === 1;
}

function fromVersion1(state: StateV1): State {
  return {
    ...state,
    version: 2,
    accounts: state.accounts.map((account) => ({
      ...account,
      users: account.users.map(({ accessKey, policies, ...user }) => ({
        ...user,
        createdAt: 0,
        accessKeys: [{ ...accessKey, createdAt: 0 }],
        policies: policies.map((document, index) => ({ name: `policy-${index + 1}`, document })),
        profile: true,
      })),
    })),
  };
}
