/** The options of the verbs that read policies and nothing else. */
import { readArguments, readTime } from './arguments.ts';

export interface PolicyArguments {
  readonly files: readonly string[];
  readonly trust: string | undefined;
  readonly json: boolean;
  /** As of when the policy is judged. */
  readonly at: Date | undefined;
}

const OPTIONS = {
  trust: { type: 'string' },
  json: { type: 'boolean', default: false },
  at: { type: 'string' },
} as const;

/** @throws Failure `usage` */
export function readPolicyArguments(verb: string, argv: readonly string[]): PolicyArguments {
  const { values, positionals } = readArguments(verb, argv, OPTIONS, 'any');
  const { trust, json, at } = values;
  return { files: positionals, trust, json, at: at === undefined ? undefined : readTime(verb, at) };
}
