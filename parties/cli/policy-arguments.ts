/** The options of the verbs that read policies and nothing else. */
import { readArguments, readTime, usage } from './arguments.ts';

export interface PolicyArguments {
  readonly files: readonly string[];
  readonly trust: string | undefined;
  readonly json: boolean;
  /** As of when the policy is judged. */
  readonly at: Date | undefined;
  /** Where figures of this machine are kept; of verbs that take it. */
  readonly home: string | undefined;
}

const OPTIONS = {
  trust: { type: 'string' },
  json: { type: 'boolean', default: false },
  at: { type: 'string' },
} as const;

/** @throws Failure `usage` */
export function readPolicyArguments(
  verb: string,
  argv: readonly string[],
  more: readonly 'home'[] = [],
): PolicyArguments {
  const { values, positionals } = readArguments(verb, argv, { ...OPTIONS, home: { type: 'string' } }, 'any');
  const { trust, json, at, home } = values;
  if (home !== undefined && !more.includes('home')) throw usage(verb, "Unknown option '--home'");
  return { files: positionals, trust, json, at: at === undefined ? undefined : readTime(verb, at), home };
}
