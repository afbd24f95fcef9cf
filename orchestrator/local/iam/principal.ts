/**
 * Who makes a request, and which name in a policy means them. A role's session answers to three names with three
 * meanings: its own session ARN, its role's ARN and its account.
 */
import type { PolicyDocument } from './document.ts';

interface Identity {
  readonly account: string;
  /** As GetCallerIdentity reports it: the user's ARN, or the session's (`arn:aws:sts::…:assumed-role/ROLE/SESSION`). */
  readonly arn: string;
  readonly userId: string;
  readonly identityPolicies: readonly PolicyDocument[];
}

export interface UserPrincipal extends Identity {
  readonly kind: 'user';
  readonly userName: string;
}

export interface SessionPrincipal extends Identity {
  readonly kind: 'session';
  readonly roleArn: string;
  /** Milliseconds. */
  readonly issuedAt: number;
  /** What the session was limited to when it was made; undefined where it was not limited. */
  readonly sessionPolicy: PolicyDocument | undefined;
}

export type Principal = UserPrincipal | SessionPrincipal;

/** `aws:PrincipalArn`: for a session the ARN of its role, never that of the session. */
export function principalArn(principal: Principal): string {
  switch (principal.kind) {
    case 'user':
      return principal.arn;
    case 'session':
      return principal.roleArn;
  }
}

/**
 * How a name in a policy reaches a principal. `direct`: the policy itself allows (a user, a session, or `*`). `role`: it
 * allows the role, within what the session was limited to. `account`: it lets the account's own policies decide.
 */
export type Reach = 'direct' | 'role' | 'account';

export function reachOf(name: string, principal: Principal): Reach | undefined {
  if (name === '*' || name === principal.arn) return 'direct';
  if (principal.kind === 'session' && name === principal.roleArn) return 'role';
  if (name === accountArn(principal.account)) return 'account';
  return undefined;
}

/** Every name that a NotPrincipal must list before it spares this principal. */
export function allNames(principal: Principal): readonly string[] {
  const own = principal.kind === 'session' ? [principal.arn, principal.roleArn] : [principal.arn];
  return [...own, accountArn(principal.account)];
}

export function accountArn(account: string): string {
  return `arn:aws:iam::${account}:root`;
}
