/** The longest lock that the bucket's policy in force takes. Days pass and the bound stays: what was right remains so. */
import { normal } from './policies.ts';
import { bucketRules } from './policies.ts';
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

/** The bound in days, where the statement is there and what it allows is enough and not too much. */
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

/** A statement without its name, in one form. */
export function meaning(statement: unknown): string {
  if (typeof statement !== 'object' || statement === null) return normal(statement);
  return normal(Object.fromEntries(Object.entries(statement).filter(([name]) => name !== 'Sid')));
}
