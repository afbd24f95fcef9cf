/** Which function is meant, who may call it, and how often. */
import type { FunctionPolicy } from './model.ts';

/** The function of that name. It may come from outside: `constructor` is no function of any policy. */
export function functionNamed<F>(functions: Readonly<Record<string, F>>, name: string): F | undefined {
  return Object.hasOwn(functions, name) ? functions[name] : undefined;
}

type Calls = Pick<FunctionPolicy, 'calls'>;

/** How many calls the policy gives a party: none where it is not named. The name may come from outside. */
export function quotaOf({ calls }: Calls, party: string): number {
  return Object.hasOwn(calls, party) ? (calls[party] ?? 0) : 0;
}

/** Whom the policy gives at least one call, in its order. */
export function callersOf(one: Calls): readonly string[] {
  return Object.keys(one.calls).filter((party) => quotaOf(one, party) > 0);
}
