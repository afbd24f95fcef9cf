/** The compiled command line, each verb a process of its own, as people and services run it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const HERE = join(import.meta.dirname, '..', '..');
/** Of the checkout, also for what is compiled. */
export const ROOT: string = basename(HERE) === 'dist' ? dirname(HERE) : HERE;
const BIN = join(ROOT, 'dist', 'orchestrator', 'cli', 'bin.js');

/** What is compiled must be what is written; `npm test` has seen to that already. */
export async function compiled(): Promise<void> {
  const ready = spawn(process.execPath, ['-e', "import('./build/ready.mjs').then(({ ready }) => ready())"], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  const [code] = await once(ready, 'close');
  if (code !== 0) throw new Error('the sources do not compile');
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it printed for people so far. */
  readonly stderr: () => string;
  /** The first line on stdout; rejects where it ended without one. */
  readonly firstLine: Promise<string>;
  readonly outcome: Promise<Outcome>;
}

export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Nothing of the person who runs the tests: no AWS settings, no homes. */
export const CLEAN: Readonly<Record<string, string>> = {
  PATH: process.env['PATH'] ?? '',
  HOME: process.env['HOME'] ?? '',
};

export function startAccord({ cwd, env }: Surroundings, ...argv: readonly string[]): Started {
  return startNode({ cwd, env }, [BIN, ...argv]);
}

export interface NodeOptions {
  /** In a process group of its own, as a terminal would run it. */
  readonly detached?: boolean;
}

export function startNode({ cwd, env }: Surroundings, argv: readonly string[], options: NodeOptions = {}): Started {
  const child = spawn(process.execPath, argv, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let out = '';
  let err = '';
  child.stderr.on('data', (data) => (err += String(data)));
  const outcome = once(child, 'close').then(([code, signal]): Outcome => ({ code, signal, out, err }));
  const firstLine = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (data) => {
      out += String(data);
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')));
    });
    void outcome.then((ended) => reject(new Error(`it ended without a line: ${JSON.stringify(ended)}`)));
  });
  firstLine.catch(() => {}); // not everybody waits for one
  return { child, pid: child.pid ?? 0, stderr: () => err, firstLine, outcome };
}

/** Kills it for good, and waits until it is gone. */
export async function kill({ child, outcome }: Started, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  child.kill(signal);
  await outcome;
}

export interface Running {
  readonly pid: number;
  readonly commandLine: string;
}

/** Processes, zombies aside, with this text in their command line. Linux only, like the local host itself. */
export async function processesWith(text: string): Promise<readonly Running[]> {
  const found: Running[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const commandLine = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (commandLine.includes(text)) found.push({ pid: Number(name), commandLine: commandLine.replaceAll('\0', ' ') });
  }
  return found;
}
