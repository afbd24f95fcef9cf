/**
 * A rule switched off, by wrapping what the program is given: an anchor, its port, a gate. The program itself has no
 * switch. Each weakening must be found out by the checker: one that cannot fail proves nothing.
 */
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import type { S3 } from '../../../enclave/claims/s3.ts';
import type { Gate } from '../../../enclave/gate.ts';
import type { CanonicalPolicy } from '../../../policies/model.ts';
import type { Plan } from './plan.ts';

export interface Weakening {
  readonly name: string;
  /** The rule, and what is done instead. */
  readonly text: string;
  /** Makes the situations likelier in which the rule matters; never ones that the rule was not made for. */
  readonly plan?: (plan: Plan) => Plan;
  readonly policy?: (policy: CanonicalPolicy) => CanonicalPolicy;
  readonly s3?: (s3: S3, copy: string) => S3;
  readonly anchor?: (anchor: Anchor, copy: string) => Anchor;
  readonly gate?: (gate: Gate) => Gate;
  /** Withdrawn keys open nevertheless. */
  readonly lenientKms?: boolean;
  /** HMAC-SHA-256 without its key: anybody can make entries. */
  readonly keylessEntries?: boolean;
}
