/** Options as the parties' verbs declare them; what is not declared is a usage error that says where the help is. */
import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { usage } from './policy-arguments.ts';

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O; strict: true; allowPositionals: true; args: string[] }>
>;

/** `accept` names what stands without an option, in order: exactly these are taken. */
export function readArguments<const O extends Options>(
  verb: string,
  argv: readonly string[],
  options: O,
  accept: readonly string[] = [],
): Parsed<O> {
  const parsed = parse(verb, argv, options);
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

/** An option without which the verb cannot do anything. */
export function demand(verb: string, option: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value;
  throw usage(verb, `${option} is missing`);
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

export const PARTY_HELP: string = `  --party NAME     whose home to use, where ./.accord holds several
  --home DIR       the home itself (default: ACCORD_HOME, else ./.accord/<party>)
  --profile NAME   AWS profile (default: that of the home, else the SDK's credential chain)`;
