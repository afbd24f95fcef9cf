/** Options as verbs declare them; what is not declared is a usage error that says where the help is. */
import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { inspectKmsKeyArn } from '../../policies/arn.ts';
import { isCalendarDate } from '../../policies/date.ts';
import { Failure } from '../../policies/failure.ts';

export type ArgumentCode = 'cli/arguments';

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O; strict: true; allowPositionals: true; args: string[] }>
>;

/** `accept` names what stands without an option, in order: `['POLICY']`, exactly these; `any` takes any number. */
export function readArguments<const O extends Options>(
  verb: string,
  argv: readonly string[],
  options: O,
  accept: readonly string[] | 'any' = [],
): Parsed<O> {
  const parsed = parse(verb, argv, options);
  if (accept === 'any') return parsed;
  const missing = accept[parsed.positionals.length];
  if (missing !== undefined) throw usage(verb, `${missing} is missing`);
  const extra = parsed.positionals[accept.length];
  if (extra !== undefined) throw usage(verb, `"${extra}" is one argument too many`);
  return parsed;
}

function parse<const O extends Options>(verb: string, argv: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: true });
  } catch (error) {
    throw usage(verb, (error instanceof Error ? error.message : String(error)).split('. ')[0] ?? '');
  }
}

/** A whole number from `least` to `most`. */
export function readNumber(verb: string, option: string, text: string, most: number, least = 0): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (least <= value && value <= most) return value;
  throw usage(verb, `--${option} takes a whole number from ${least} to ${most}, not "${text}"`);
}

/** `--key`: the full ARN of one KMS key. What is wrong with another text is a usage error, not a fault of a policy. */
export function readKeyArn(verb: string, text: string | undefined): string {
  const arn = demand(verb, '--key ARN', text);
  const found = inspectKmsKeyArn(arn);
  if ('keyId' in found) return arn;
  const message = `--key takes the full ARN of a KMS key, not "${arn}": ${found.message}`;
  throw new Failure<ArgumentCode>('usage', 'cli/arguments', message, { hint: found.hint });
}

/** An option without which the verb cannot do anything. */
export function demand(verb: string, option: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value;
  throw usage(verb, `${option} is missing`);
}

const ISO_8601 = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/;

/** A day (its beginning, UTC) or a time of `--at`. Without a zone a time means another thing on each machine: not taken. */
export function readTime(verb: string, text: string): Date {
  const time = new Date(text);
  if (ISO_8601.test(text) && isCalendarDate(text.slice(0, 10)) && !Number.isNaN(time.getTime())) return time;
  throw usage(verb, `--at takes a time with its zone, like 2027-06-30T12:00:00Z, not "${text}"`);
}

export function usage(verb: string, message: string): Failure<ArgumentCode> {
  return new Failure('usage', 'cli/arguments', message, { hint: `see accord ${verb} --help` });
}

/** The options of every verb that acts for a party. */
export const PARTY_OPTIONS: {
  readonly home: { readonly type: 'string' };
  readonly party: { readonly type: 'string' };
  readonly profile: { readonly type: 'string' };
  readonly json: { readonly type: 'boolean'; readonly default: false };
} = {
  home: { type: 'string' },
  party: { type: 'string' },
  profile: { type: 'string' },
  json: { type: 'boolean', default: false },
};

export const PARTY_HELP: string = `  --party NAME     whose home to use, where ./.accord holds several; with --home, whose it must be
  --home DIR       the home itself (default: ACCORD_HOME, else ./.accord/<party>)
  --profile NAME   AWS profile (default: that of the home, else the SDK's credential chain)`;
