/**
 * Allowed or not, as AWS decides it (IAM User Guide, "policy evaluation logic"; KMS Developer Guide, "troubleshooting key
 * access"). The order of the clauses is the order of the code:
 *
 * 1. An explicit Deny anywhere (resource, identity or session policy) ends it. It also beats grants.
 * 2. What belongs to no resource policy (CreateKey, ListKeys, GenerateRandom) the identity's policies decide.
 * 3. Another account's resource needs both: the resource's side (policy or grant) and the caller's own identity policies.
 * 4. In the same account the resource's side decides alone when it names the user, the session or `*`; within what the
 *    session was limited to when it names the role; and hands the decision to the identity's policies when it names the
 *    account. An identity policy alone never opens a key.
 * 5. Except where the service says that either side is enough, as S3 does in the same account.
 */
import { matchesPattern } from './arn.ts';
import type { RequestContext } from './condition.ts';
import { conditionHolds, fillIn } from './condition.ts';
import type { Patterns, PolicyDocument, Statement } from './document.ts';
import type { Principal, Reach } from './principal.ts';
import { allNames, reachOf } from './principal.ts';

export interface AccessRequest {
  readonly principal: Principal;
  /** For example `kms:Decrypt`. */
  readonly action: string;
  /** An ARN, or `*` for actions on no resource of their own. */
  readonly resource: string;
  readonly resourceAccount: string;
  readonly context: RequestContext;
  /** Undefined for actions that no resource policy governs. */
  readonly resourcePolicy: PolicyDocument | undefined;
  /** In the resource's own account the identity's policies are enough without the resource's. */
  readonly eitherSide?: boolean;
  /** Grantees of grants that allow exactly this request (operation and constraints hold). */
  readonly grantees: readonly string[];
}

export type PolicyType = 'resource-based' | 'identity-based' | 'session';

export type Decision =
  { readonly allowed: true } | { readonly allowed: false; readonly explicit: boolean; readonly because: PolicyType };

export function evaluate(request: AccessRequest): Decision {
  const { principal, resourcePolicy } = request;
  const sessionPolicy = principal.kind === 'session' ? principal.sessionPolicy : undefined;

  const denies: readonly (readonly [PolicyType, readonly (PolicyDocument | undefined)[]])[] = [
    ['resource-based', [resourcePolicy]],
    ['identity-based', principal.identityPolicies],
    ['session', [sessionPolicy]],
  ];
  for (const [because, documents] of denies) {
    if (documents.some((document) => matching(document, 'Deny', request).length > 0)) {
      return { allowed: false, explicit: true, because };
    }
  }

  const identityAllows = principal.identityPolicies.some((each) => matching(each, 'Allow', request).length > 0);
  const sessionAllows = sessionPolicy === undefined || matching(sessionPolicy, 'Allow', request).length > 0;
  const byIdentity = (): Decision => {
    if (!identityAllows) return { allowed: false, explicit: false, because: 'identity-based' };
    return sessionAllows ? { allowed: true } : { allowed: false, explicit: false, because: 'session' };
  };

  if (resourcePolicy === undefined) return byIdentity();
  const reaches = resourceSide(resourcePolicy, request);
  const sameAccount = request.resourceAccount === principal.account;
  if (reaches.length === 0) {
    if (sameAccount && request.eitherSide === true) return byIdentity();
    return { allowed: false, explicit: false, because: 'resource-based' };
  }
  if (!sameAccount) return byIdentity();
  if (reaches.includes('direct')) return { allowed: true };
  if (!reaches.includes('role')) return byIdentity();
  return sessionAllows ? { allowed: true } : { allowed: false, explicit: false, because: 'session' };
}

/** How the resource's policy and its grants let this principal in; empty where they do not. */
function resourceSide(policy: PolicyDocument, request: AccessRequest): readonly Reach[] {
  const named = matching(policy, 'Allow', request).flatMap(({ principals }) => principals?.names ?? []);
  return [...named, ...request.grantees]
    .map((name) => reachOf(name, request.principal))
    .filter((reach) => reach !== undefined);
}

function matching(
  document: PolicyDocument | undefined,
  effect: Statement['effect'],
  request: AccessRequest,
): readonly Statement[] {
  if (document === undefined) return [];
  return document.statements.filter((statement) => statement.effect === effect && applies(statement, request));
}

function applies(statement: Statement, { principal, action, resource, context }: AccessRequest): boolean {
  return (
    coversPrincipal(statement.principals, principal) &&
    covers(statement.actions, (pattern) => matchesPattern(pattern.toLowerCase(), action.toLowerCase())) &&
    covers(statement.resources, (pattern) =>
      fillIn(pattern, context).some((filled) => matchesPattern(filled, resource)),
    ) &&
    statement.conditions.every((condition) => conditionHolds(condition, context))
  );
}

/** A NotPrincipal spares a caller only if it lists every one of its names: session, role and account. */
function coversPrincipal(principals: Statement['principals'], principal: Principal): boolean {
  if (principals === undefined) return true;
  const { except, names } = principals;
  if (!except) return names.some((name) => reachOf(name, principal) !== undefined);
  return !names.includes('*') && !allNames(principal).every((name) => names.includes(name));
}

function covers({ except, patterns }: Patterns, matches: (pattern: string) => boolean): boolean {
  if (patterns.length === 0) return false;
  return patterns.some(matches) !== except;
}
