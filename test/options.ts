/** Arguments of what people run by hand: fuzz, timing, faults, bench. Whoever is wrong is told in a line, with exit code 2. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

export interface OptionReader<T extends Options> {
  readonly values: Values<T>;
  /** Says what is wrong, and ends. */
  readonly usage: (why: string) => never;
  /** Of an option that was given as `text`: a number from `least` to `most` (default: any above), `whole` or not. */
  readonly number: (option: string, text: string, bounds: Bounds) => number;
}

export interface Bounds {
  readonly least: number;
  readonly most?: number;
  readonly whole?: boolean;
}

/** `help`: what `--help` prints, all of it. */
export function readOptions<const T extends Options>(program: string, help: string, options: T): OptionReader<T> {
  const usage = (why: string): never => {
    process.stderr.write(`${program}: ${why}; see npm run ${program} -- --help\n`);
    process.exit(2);
  };
  if (process.argv.includes('--help')) {
    process.stdout.write(help);
    process.exit(0);
  }
  const read = (): Values<T> => {
    try {
      return parseArgs({ options }).values;
    } catch (error) {
      return usage((error instanceof Error ? error.message : String(error)).replace(/\. .*/s, ''));
    }
  };
  return {
    values: read(),
    usage,
    number(option, text, { least, most = Infinity, whole = false }) {
      const value = Number(text);
      if (text.trim() !== '' && value >= least && value <= most && (!whole || Number.isSafeInteger(value)))
        return value;
      const to = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
      return usage(`--${option} takes a ${whole ? 'whole ' : ''}number ${to}, not "${text}"`);
    },
  };
}
