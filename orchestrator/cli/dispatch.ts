/** From a command line to a verb and from its outcome to an exit code (the README lists them). */
import { EXIT_CODES, Failure } from '../../policies/failure.ts';
import { nearest } from '../../policies/reading/suggest.ts';
import type { Io, Verb } from '../../parties/cli/verb.ts';
import { printable, printableJson, printableLines } from '../../parties/printable.ts';

export type DispatchCode = 'cli/unknown-verb';

/** A row of the table: enough for `accord help`, without loading what the verb needs. */
export interface VerbEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

/** Why a verb was aborted; `bin.ts` makes one when a signal arrives. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
    this.name = 'Interrupted';
  }
}

const INTERRUPTED = 130;
const BUG = 1;
const BEYOND_HELP: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EMFILE', 'ENFILE']);

export interface Program {
  readonly version: string;
  readonly verbs: readonly VerbEntry[];
}

/** Runs one command line. Never throws: what went wrong is told on `io` and in the exit code. */
export async function dispatch(argv: readonly string[], io: Io, program: Program): Promise<number> {
  const asJson = options(argv).includes('--json');
  const told: Io = asJson ? { ...io, out: (text) => io.out(printableJson(text)) } : io;
  try {
    return await run(argv, told, program);
  } catch (error) {
    // A child that the same Ctrl-C ended may be heard of before the signal is.
    await turns();
    return report(await ofTheSystem(error), asJson, told);
  }
}

/** Two turns of the event loop: one from its middle need not look at signals. */
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** What no program can help is no bug, whoever met it. */
async function ofTheSystem(error: unknown): Promise<unknown> {
  const { diskFailure, errorCode } = await import('../../build/disk.ts');
  const code = errorCode(error);
  return code !== undefined && BEYOND_HELP.has(code) ? diskFailure(error, 'what it writes', 'the command') : error;
}

async function run(argv: readonly string[], io: Io, { version, verbs }: Program): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    io.err(overview(version, verbs));
    return EXIT_CODES.usage;
  }
  if (name === '--version' || name === '-V' || name === 'version') {
    io.out(`${version}\n`);
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const topic = rest.find((word) => !word.startsWith('-'));
    io.out(topic === undefined ? overview(version, verbs) : withNewline((await find(verbs, topic).load()).help));
    return 0;
  }
  const verb = await find(verbs, name).load();
  if (asksForHelp(rest)) {
    io.out(withNewline(verb.help));
    return 0;
  }
  return verb.run(rest, io);
}

function find(verbs: readonly VerbEntry[], name: string): VerbEntry {
  const entry = verbs.find((verb) => verb.name === name);
  if (entry !== undefined) return entry;
  const meant = nearest(
    name,
    verbs.map((verb) => verb.name),
  );
  throw new Failure<DispatchCode>('usage', 'cli/unknown-verb', `there is no verb "${name}"`, {
    hint: meant === undefined ? 'accord help lists the verbs' : `did you mean "accord ${meant}"?`,
  });
}

function asksForHelp(argv: readonly string[]): boolean {
  return options(argv).some((word) => word === '--help' || word === '-h');
}

/** What comes after `--` is never an option. */
function options(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--');
  return end === -1 ? argv : argv.slice(0, end);
}

function overview(version: string, verbs: readonly VerbEntry[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length));
  const rows = verbs.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    `accord ${version}: compute together, inside an AWS Nitro Enclave, on what you cannot show each other`,
    '',
    'usage: accord VERB [ARGUMENT…] [--json]',
    '',
    ...rows,
    '',
    'accord VERB --help tells more. Exit codes: 0 done, 2 usage, 10 refused, 20 unsupported, 30 malformed input,',
    '40 environment (a retry may help), 130 interrupted, 1 a bug in Accord.',
    '',
  ].join('\n');
}

function report(error: unknown, asJson: boolean, io: Io): number {
  if (io.signal.aborted) {
    io.err('accord: interrupted\n');
    return INTERRUPTED;
  }
  if (error instanceof Failure) {
    const { code, message, where, hint } = error;
    if (asJson) io.out(`${JSON.stringify({ error: { code, message, where, hint } })}\n`);
    else io.err(describe(error));
    return EXIT_CODES[error.kind];
  }
  const message = error instanceof Error ? error.message : String(error);
  if (asJson) io.out(`${JSON.stringify({ error: { code: 'bug', message } })}\n`);
  io.err(`accord: unexpected error, a bug in Accord: ${printable(message)}\n`);
  if (io.env['ACCORD_DEBUG'] === '1' && error instanceof Error) io.err(`${error.stack ?? ''}\n`);
  else io.err('  please report it, with the output of the same command under ACCORD_DEBUG=1\n');
  return BUG;
}

/** Files, orchestrators and AWS are quoted in failures, and none of them is to be believed. */
function describe({ message, where, hint, code }: Failure): string {
  const place = where === undefined || message.includes(where) ? '' : `\n  where: ${where}`;
  const advice = hint === undefined ? '' : `\n  hint: ${hint}`;
  return printableLines(`accord: ${message}${place}${advice}\n  (${code})\n`);
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
