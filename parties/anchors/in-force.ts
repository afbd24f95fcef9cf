/** A bucket's policy in force, taken apart: its statements, whom it lets read, and the longest lock that it takes. */
import { bucketRules, normal } from './policies.ts';
import type { AnchorTerms } from './terms.ts';
import { retentionDays } from './terms.ts';

/** How many days more than are needed today still count as bounded: about as long as a collaboration lasts. */
const SLACK_DAYS = 1_100;

/** The statements of a policy document; none where it is no such document. */
export function statementsOf(policy: string | undefined): readonly unknown[] {
  if (policy === undefined) return [];
  let document: unknown;
  try {
    document = JSON.parse(policy);
  } catch {
    return [];
  }
  if (typeof document !== 'object' || document === null || !('Statement' in document)) return [];
  const { Statement } = document;
  return Array.isArray(Statement) ? Statement : [Statement];
}

/**
 * The longest lock in days, where the statement is there and what it allows is enough and not too much. Days pass and the
 * bound stays: what was right remains so.
 */
export function boundInForce(terms: AnchorTerms, policy: string | undefined, now: number): number | undefined {
  const needed = retentionDays(terms, now);
  for (const statement of statementsOf(policy)) {
    const days = Number(
      /"s3:object-lock-remaining-retention-days":\[?"?(\d{1,6})"?\]?/.exec(JSON.stringify(statement))?.[1],
    );
    if (!(days >= needed && days <= needed + SLACK_DAYS)) continue;
    const rule = bucketRules(terms, days).find(({ statement: { Sid } }) => Sid === 'RetentionIsBounded');
    if (rule !== undefined && meaning(rule.statement) === meaning(statement)) return days;
  }
  return undefined;
}

/** Principals whom a statement of the policy allows something. */
export function readersIn(policy: string | undefined): readonly string[] {
  const found = statementsOf(policy).flatMap((statement) => {
    if (typeof statement !== 'object' || statement === null || !('Principal' in statement)) return [];
    if (!('Effect' in statement) || statement.Effect !== 'Allow') return [];
    const { Principal } = statement;
    const names = typeof Principal === 'object' && Principal !== null && 'AWS' in Principal ? Principal.AWS : Principal;
    return Array.isArray(names) ? names : [names];
  });
  return [...new Set(found.filter((name) => typeof name === 'string'))];
}

/** A statement without its name, in one form. */
export function meaning(statement: unknown): string {
  if (typeof statement !== 'object' || statement === null) return normal(statement);
  return normal(Object.fromEntries(Object.entries(statement).filter(([name]) => name !== 'Sid')));
}
