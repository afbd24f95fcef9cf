/** Runs an engine's program. Whatever ends the caller ends the program and all that it started. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { Failure } from '../../policies/failure.ts';
import { errorCode } from '../disk.ts';
import type { EngineCode, EngineName } from './engine.ts';
import { engineFailure } from './failures.ts';

export interface CommandOptions {
  readonly engine: EngineName;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly signal: AbortSignal | undefined;
  /** Lines of both outputs, as they come. */
  readonly onLine?: (line: string) => void;
}

/** Of what the program printed last, in characters: enough to say why it failed. */
const KEPT = 16_384;
/** Documents that an engine prints are small. */
const MAX_TEXT = 16 * 1024 * 1024;
/** Between asking a program to end and ending it. */
const PATIENCE_MS = 3_000;

/** Resolves to what the program printed on its standard output. */
export async function runCommand(argv: readonly string[], options: CommandOptions): Promise<string> {
  let text = '';
  await streamCommand(
    argv,
    async (output) => {
      output.setEncoding('utf8');
      for await (const piece of output) {
        text += String(piece);
        if (text.length > MAX_TEXT) throw new Error(`${argv[0] ?? ''} printed more than ${MAX_TEXT} characters`);
      }
    },
    options,
  );
  return text;
}

/** The same for a program that prints lines for people; they are not kept. */
export function followCommand(argv: readonly string[], options: CommandOptions): Promise<void> {
  return streamCommand(argv, (output) => eachLine(output, options.onLine), options);
}

/** Hands standard output over as it comes. Resolves when the program ended well and `take` is done. */
export async function streamCommand(
  argv: readonly string[],
  take: (output: Readable) => Promise<void>,
  options: CommandOptions,
): Promise<void> {
  const { engine, env, cwd, signal, onLine } = options;
  signal?.throwIfAborted();
  const [program = '', ...rest] = argv;
  // In a process group of its own, so that what it started can be ended with it.
  const child = spawn(program, rest, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const exit = new Promise<number | string>((resolve, reject) => {
    child.once('error', (error) => reject(startFailure(engine, error)));
    child.once('close', (code, ended) => resolve(code ?? ended ?? 'unknown'));
  });
  exit.catch(() => {}); // told below
  const stop = (): void => endGroup(child);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const hear = (line: string): void => {
      said = `${said}${line}\n`.slice(-KEPT);
      onLine?.(line);
    };
    /** Set when the reader found something wrong before the output had come to its end. */
    let gaveUp = false;
    const taken = take(child.stdout).catch((error: unknown) => {
      gaveUp = !child.stdout.readableEnded;
      if (gaveUp) stop();
      throw error;
    });
    const [ended, read] = await Promise.allSettled([exit, taken, eachLine(child.stderr, hear)]);
    signal?.throwIfAborted();
    if (ended.status === 'rejected') throw ended.reason;
    // Of an output that broke off the program says why; of a program that we ended, the reader knows.
    if (ended.value !== 0 && !gaveUp) throw engineFailure(engine, argv, ended.value, said);
    if (read.status === 'rejected') throw read.reason;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

async function eachLine(output: Readable, onLine: (line: string) => void = () => {}): Promise<void> {
  for await (const line of createInterface({ input: output, crlfDelay: Infinity })) onLine(line);
}

function endGroup(child: ChildProcess): void {
  const send = (name: 'SIGTERM' | 'SIGKILL'): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, name);
    } catch {
      // it has ended by itself
    }
  };
  send('SIGTERM');
  const timer = setTimeout(() => send('SIGKILL'), PATIENCE_MS);
  child.once('close', () => clearTimeout(timer));
}

function startFailure(engine: EngineName, error: Error): Failure<EngineCode> | Error {
  const code = errorCode(error);
  if (code === 'ENOENT') {
    return new Failure<EngineCode>('environment', 'engine/absent', `${engine} is not installed`, {
      where: '--engine',
      hint: `install ${engine}, or name another engine (docker, buildah, podman) with --engine`,
      cause: error,
    });
  }
  if (code === 'EACCES') {
    return new Failure<EngineCode>('environment', 'engine/denied', `this user may not start ${engine}`, {
      where: '--engine',
      hint: 'look at the permissions of the program, or name another engine with --engine',
      cause: error,
    });
  }
  return error;
}
