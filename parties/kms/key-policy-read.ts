/** Reading a policy in force: whether it is one of ours, with which terms, and what a new one changes about it. */
import { isDeepStrictEqual } from 'node:util';
import type { KeyPolicy, KeyPolicyTerms, Pin } from './key-policy.ts';
import { CONDITION_KEYS, keyPolicy } from './key-policy.ts';

const { image: IMAGE, agreement: AGREEMENT } = CONDITION_KEYS;

/**
 * The terms that make exactly this policy, or undefined: a policy that was edited by hand, or written by something else,
 * has none. Found by writing the policy anew from what it seems to say and comparing.
 */
export function termsOf(text: string, keyArn: string): KeyPolicyTerms | undefined {
  const policy = parseObject(text);
  const statements = statementsOf(policy);
  const agreementOf = (statement: unknown): string | undefined =>
    valueAt(statement, ['Condition', 'StringEquals', AGREEMENT]);
  const withSid = (sid: string): unknown => statements.find((statement) => valueAt(statement, ['Sid']) === sid);
  const pins = statements.flatMap((statement): readonly Pin[] => {
    const sid = valueAt(statement, ['Sid']) ?? '';
    const pcr0 = valueAt(statement, ['Condition', 'StringEqualsIgnoreCase', IMAGE]);
    const policyDigest = agreementOf(statement);
    if (!/^AllowImage\d+$/.test(sid) || pcr0 === undefined || policyDigest === undefined) return [];
    const succeeds = agreementOf(withSid(`${sid}ToSucceed`));
    return [succeeds === undefined ? { pcr0, policyDigest } : { pcr0, policyDigest, succeeds }];
  });
  const principals = (sid: string): readonly unknown[] => {
    const named = at(at(withSid(sid), 'Principal'), 'AWS');
    return Array.isArray(named) ? named : [named];
  };
  const principal = (sid: string, index = 0): string => {
    const name = principals(sid)[index];
    return typeof name === 'string' ? name : '';
  };
  const hostRoleArn = principal('AllowImage1', 1);
  const terms: KeyPolicyTerms = {
    keyArn,
    account: keyArn.split(':')[4] ?? '',
    pins,
    enclaveRoleArn: principal('AllowImage1'),
    ...(hostRoleArn === '' ? {} : { hostRoleArn }),
    callerArn: principal('AllowTheCaller'),
    contributorArn: principal('AllowTheContributor'),
  };
  try {
    return isDeepStrictEqual(plain(keyPolicy(terms)), policy) ? terms : undefined;
  } catch {
    return undefined;
  }
}

export interface KeyPolicyChange {
  readonly pinsAdded: readonly Pin[];
  readonly pinsRemoved: readonly Pin[];
  /** Sids, or `statement N` where one has none. */
  readonly statementsAdded: readonly string[];
  readonly statementsRemoved: readonly string[];
  readonly statementsChanged: readonly string[];
}

/** What the new policy changes, statement by statement. `before` is the policy in force, or undefined where none was read. */
export function compareKeyPolicies(before: string | undefined, after: KeyPolicy, keyArn: string): KeyPolicyChange {
  const old = named(statementsOf(parseObject(before ?? '{}')));
  const now = named(statementsOf(plain(after)));
  const pinsBefore = before === undefined ? [] : (termsOf(before, keyArn)?.pins ?? []);
  const pinsAfter = termsOf(JSON.stringify(after), keyArn)?.pins ?? [];
  const without = (pins: readonly Pin[], others: readonly Pin[]): readonly Pin[] =>
    pins.filter((pin) => !others.some((other) => isDeepStrictEqual(pin, other)));
  return {
    pinsAdded: without(pinsAfter, pinsBefore),
    pinsRemoved: without(pinsBefore, pinsAfter),
    statementsAdded: [...now.keys()].filter((name) => !old.has(name)),
    statementsRemoved: [...old.keys()].filter((name) => !now.has(name)),
    statementsChanged: [...now.keys()].filter(
      (name) => old.has(name) && !isDeepStrictEqual(old.get(name), now.get(name)),
    ),
  };
}

/** Same policy, whatever the white space and the order of keys. */
export function isSamePolicy(text: string, policy: KeyPolicy): boolean {
  return isDeepStrictEqual(parseObject(text), plain(policy));
}

function named(statements: readonly unknown[]): ReadonlyMap<string, unknown> {
  return new Map(
    statements.map((statement, index) => [valueAt(statement, ['Sid']) ?? `statement ${index + 1}`, statement]),
  );
}

function plain(policy: KeyPolicy): unknown {
  return parseObject(JSON.stringify(policy));
}

function parseObject(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function statementsOf(policy: unknown): readonly unknown[] {
  const statements = at(policy, 'Statement');
  return Array.isArray(statements) ? statements : statements === undefined ? [] : [statements];
}

/** The text at a path of keys, or undefined. */
function valueAt(value: unknown, path: readonly string[]): string | undefined {
  const found = path.reduce<unknown>((inner, key) => at(inner, key), value);
  return typeof found === 'string' ? found : undefined;
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined;
}
