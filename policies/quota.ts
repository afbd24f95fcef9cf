/** Who may call a function, and how often. */
import type { FunctionPolicy } from './model.ts';

type Calls = Pick<FunctionPolicy, 'calls'>;

/** How many calls the policy gives a party: none where it is not named. The name may come from outside. */
export function quotaOf({ calls }: Calls, party: string): number {
  return Object.hasOwn(calls, party) ? (calls[party] ?? 0) : 0;
}

/** Whom the policy gives at least one call, in its order. */
export function callersOf(one: Calls): readonly string[] {
  return Object.keys(one.calls).filter((party) => quotaOf(one, party) > 0);
}
