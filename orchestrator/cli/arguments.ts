/** Options as verbs declare them; what is not declared is a usage error that says where the help is. */
import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
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

/** A whole number from 0 to `most`. */
export function readNumber(verb: string, option: string, text: string, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= most) return value;
  throw usage(verb, `--${option} takes a whole number from 0 to ${most}, not "${text}"`);
}

export function usage(verb: string, message: string): Failure<ArgumentCode> {
  return new Failure('usage', 'cli/arguments', message, { hint: `see accord ${verb} --help` });
}
