/**
 * Asks the evaluator about one action on one key, with every condition key that KMS fills in, and says no in AWS's words.
 */
import type { EncryptionContext } from '../../../enclave/protocol/context.ts';
import { AwsError } from '../errors.ts';
import { parsePolicyDocument } from '../iam/document.ts';
import type { Decision } from '../iam/evaluate.ts';
import { evaluate } from '../iam/evaluate.ts';
import type { Grant, KmsKey } from '../state.ts';
import type { KmsCall } from './call.ts';
import { keyNotFound, liveKey, resolveKeyArn } from './key-ids.ts';
import type { AttestedRecipient } from './recipient.ts';

/** What the request says beyond caller and key; each becomes condition keys. */
export interface RequestFacts {
  readonly encryptionContext?: EncryptionContext;
  readonly recipient?: AttestedRecipient | undefined;
  /** Further keys of this operation, for example `kms:GrantOperations`. */
  readonly more?: Readonly<Record<string, readonly string[]>>;
}

/** Actions that work on another account's key (KMS permissions reference); all others are for its own account alone. */
const ACROSS_ACCOUNTS: ReadonlySet<string> = new Set([
  'kms:CreateGrant',
  'kms:Decrypt',
  'kms:DescribeKey',
  'kms:Encrypt',
  'kms:GenerateDataKey',
  'kms:GenerateDataKeyWithoutPlaintext',
  'kms:ListGrants',
  'kms:ReEncryptFrom',
  'kms:ReEncryptTo',
  'kms:RetireGrant',
  'kms:RevokeGrant',
]);

/** The key that `keyId` names, if the caller may do `action` with it. Throws as KMS does. */
export function authorizedKey(call: KmsCall, keyId: string, action: string, facts: RequestFacts = {}): KmsKey {
  const arn = resolveKeyArn(keyId, call);
  const key = liveKey(call.store.current(), arn, call.now);
  call.trace.key = arn;
  if (key === undefined) {
    // Whether another account has such a key is not told to those who may not use it.
    if (arn.split(':')[4] !== call.principal.account) throw refused(call, action, arn, 'resource-hidden');
    throw keyNotFound(arn);
  }
  authorizeOnKey(call, key, action, facts);
  return key;
}

export function authorizeOnKey(call: KmsCall, key: KmsKey, action: string, facts: RequestFacts = {}): void {
  call.trace.key = key.arn;
  if (key.account !== call.principal.account && !ACROSS_ACCOUNTS.has(action)) {
    throw refused(call, action, key.arn, 'resource-hidden');
  }
  const decision = decideOnKey(call, key, action, facts, key.policy);
  note(call, action, key.arn, decision);
  if (decision.allowed) return;
  const hidden = key.account !== call.principal.account && decision.because === 'resource-based';
  throw refused(call, action, key.arn, hidden ? 'resource-hidden' : decision);
}

/** Would `policy` allow it? Used for the key's own policy, and for a new one before it is put. */
export function decideOnKey(call: KmsCall, key: KmsKey, action: string, facts: RequestFacts, policy: string): Decision {
  return evaluate({
    principal: call.principal,
    action,
    resource: key.arn,
    resourceAccount: key.account,
    context: new Map([...call.baseContext, ...factsOfKey(key), ...factsOfRequest(facts)]),
    resourcePolicy: parsePolicyDocument(policy, 'resource'),
    grantees: key.grants.filter((grant) => grantAllows(grant, action, facts)).map(({ grantee }) => grantee),
  });
}

/** For actions on no key: CreateKey, ListKeys, GenerateRandom. */
export function authorizeAccountAction(call: KmsCall, action: string, facts: RequestFacts = {}): void {
  const decision = evaluate({
    principal: call.principal,
    action,
    resource: '*',
    resourceAccount: call.principal.account,
    context: new Map([...call.baseContext, ...factsOfRequest(facts)]),
    resourcePolicy: undefined,
    grantees: [],
  });
  note(call, action, '*', decision);
  if (!decision.allowed) throw refused(call, action, '*', decision);
}

function note(call: KmsCall, action: string, resource: string, { allowed }: Decision): void {
  call.trace.decisions.push({ action, resource, allowed });
}

function refused(
  call: KmsCall,
  action: string,
  resource: string,
  why: 'resource-hidden' | Exclude<Decision, { readonly allowed: true }>,
): AwsError {
  if (why === 'resource-hidden' && call.trace.decisions.at(-1)?.resource !== resource) {
    note(call, action, resource, { allowed: false, explicit: false, because: 'resource-based' });
  }
  const who = `User: ${call.principal.arn} is not authorized to perform: ${action} on resource: ${resource}`;
  return new AwsError('AccessDeniedException', `${who} ${reason(action, why)}`);
}

function reason(action: string, why: 'resource-hidden' | Exclude<Decision, { readonly allowed: true }>): string {
  if (why === 'resource-hidden') {
    return 'because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access';
  }
  if (!why.explicit) return `because no ${why.because} policy allows the ${action} action`;
  return `with an explicit deny in ${why.because === 'identity-based' ? 'an' : 'a'} ${why.because} policy`;
}

function factsOfKey(key: KmsKey): readonly (readonly [string, readonly string[]])[] {
  return [
    ['kms:keyspec', ['SYMMETRIC_DEFAULT']],
    ['kms:keyusage', ['ENCRYPT_DECRYPT']],
    ['kms:keyorigin', ['AWS_KMS']],
    ['kms:multiregion', ['false']],
    ['aws:resourceaccount', [key.account]],
  ];
}

function factsOfRequest(facts: RequestFacts): ReadonlyMap<string, readonly string[]> {
  const context = new Map<string, readonly string[]>();
  for (const [key, values] of Object.entries(facts.more ?? {})) context.set(key.toLowerCase(), values);
  const pairs = Object.entries(facts.encryptionContext ?? {});
  if (pairs.length > 0)
    context.set(
      'kms:encryptioncontextkeys',
      pairs.map(([name]) => name),
    );
  for (const [name, value] of pairs) {
    // Two names that differ in case alone are one condition key with two values.
    const key = `kms:encryptioncontext:${name.toLowerCase()}`;
    context.set(key, [...(context.get(key) ?? []), value]);
  }
  for (const [index, value] of facts.recipient?.pcrs ?? []) {
    context.set(`kms:recipientattestation:pcr${index}`, [value]);
    if (index === 0) context.set('kms:recipientattestation:imagesha384', [value]);
  }
  return context;
}

/** Constraints compare names of the context without regard to case and values with it; they bind cryptographic operations only. */
function grantAllows(grant: Grant, action: string, facts: RequestFacts): boolean {
  const operation = action.replace(/^kms:/, '');
  if (!grant.operations.includes(operation)) return false;
  if (['DescribeKey', 'RetireGrant', 'CreateGrant'].includes(operation)) return true;
  const actual = lowered(facts.encryptionContext ?? {});
  const { EncryptionContextSubset: subset, EncryptionContextEquals: equal } = grant.constraints ?? {};
  const holds = (wanted: EncryptionContext): boolean =>
    Object.entries(lowered(wanted)).every(([name, value]) => actual[name] === value);
  if (subset !== undefined && !holds(subset)) return false;
  return equal === undefined || (holds(equal) && Object.keys(actual).length === Object.keys(equal).length);
}

function lowered(context: EncryptionContext): EncryptionContext {
  return Object.fromEntries(Object.entries(context).map(([name, value]) => [name.toLowerCase(), value]));
}
