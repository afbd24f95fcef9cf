/** The options of the verbs that read policies and nothing else. */
import { parseArgs } from 'node:util';
import { Failure } from '../../policies/failure.ts';

export interface PolicyArguments {
  readonly files: readonly string[];
  readonly trust: string | undefined;
  readonly json: boolean;
  /** As of when the policy is judged. */
  readonly at: Date | undefined;
}

/** @throws Failure `usage` */
export function readPolicyArguments(verb: string, argv: readonly string[]): PolicyArguments {
  const { values, positionals } = parse(verb, argv);
  return { files: positionals, trust: values.trust, json: values.json ?? false, at: readTime(verb, values.at) };
}

function parse(verb: string, argv: readonly string[]): ReturnType<typeof parseWith> {
  try {
    return parseWith(argv);
  } catch (error) {
    throw usage(verb, (error instanceof Error ? error.message : String(error)).split('. ')[0] ?? '');
  }
}

const OPTIONS = { trust: { type: 'string' }, json: { type: 'boolean' }, at: { type: 'string' } } as const;

interface Parsed {
  readonly values: { readonly trust?: string; readonly json?: boolean; readonly at?: string };
  readonly positionals: readonly string[];
}

function parseWith(argv: readonly string[]): Parsed {
  return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: true });
}

function readTime(verb: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text);
  if (!Number.isNaN(time.getTime()) && /^\d{4}-\d\d-\d\d/.test(text)) return time;
  throw usage(verb, `--at takes a time like 2027-06-30T12:00:00Z, not "${text}"`);
}

export function usage(verb: string, message: string): Failure<'cli/arguments'> {
  return new Failure('usage', 'cli/arguments', message, { hint: `see accord ${verb} --help` });
}
