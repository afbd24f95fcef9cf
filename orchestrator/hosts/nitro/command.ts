/** Running `nitro-cli`: arguments in, what it printed out. No shell, a bounded time, bounded output. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../../policies/failure.ts';

export type CommandCode =
  | 'host/nitro-cli-absent' // not installed, or not in PATH
  | 'host/nitro-cli-forbidden' // it is there and may not be run
  | 'host/nitro-cli-silent'; // it did not end in time

export interface CommandResult {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FollowedCommand {
  readonly stdout: Readable;
  stop(): void;
}

export interface NitroCommand {
  /** Resolves when it has ended, whatever its exit code. Throws `CommandCode`. */
  run(args: readonly string[], timeoutMs: number): Promise<CommandResult>;
  /** Starts one that runs until it is stopped. That it cannot be started ends its output. */
  follow(args: readonly string[]): FollowedCommand;
}

const MOST_CHARACTERS = 1024 * 1024;
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 2_000;
/** From its end to the end of its output. */
const DRAIN_MS = 1_000;

export function createNitroCommand(
  program = 'nitro-cli',
  env: Readonly<Record<string, string | undefined>> = process.env,
): NitroCommand {
  const start = (args: readonly string[], detached: boolean): ChildProcess =>
    spawn(program, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached });
  return {
    async run(args, timeoutMs) {
      // In a group of its own: a Ctrl-C at the terminal must not reach it while it starts or ends an enclave.
      const child = start(args, true);
      const ended = end(child, program);
      const [out, error] = [collect(child.stdout), collect(child.stderr)];
      const settled = new AbortController();
      const late = sleep(timeoutMs, 'late' as const, { signal: settled.signal }).catch(() => 'late' as const);
      const outcome = await Promise.race([ended, late]).finally(() => settled.abort());
      if (outcome === 'late') {
        child.kill('SIGTERM');
        const kill = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
        await ended.finally(() => clearTimeout(kill));
        throw new Failure<CommandCode>(
          'environment',
          'host/nitro-cli-silent',
          `\`nitro-cli ${args[0] ?? ''}\` did not end within ${timeoutMs / 1000} s`,
          { hint: 'look at /var/log/nitro_enclaves/nitro_enclaves.log' },
        );
      }
      // The enclave's own process was started by nitro-cli and may hold the output open: what is there is enough.
      await Promise.race([Promise.all([out.closed, error.closed]), sleep(DRAIN_MS)]);
      return { code: outcome, stdout: out.take(), stderr: error.take() };
    },
    follow(args) {
      const child = start(args, false);
      child.on('error', () => {});
      child.stderr?.resume();
      return { stdout: child.stdout ?? Readable.from([]), stop: () => void child.kill('SIGTERM') };
    },
  };
}

function end(child: ChildProcess, program: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => reject(cannotStart(program, cause)));
    child.once('exit', (code) => resolve(code));
  });
}

interface Collected {
  readonly closed: Promise<void>;
  /** What came until now; nothing more is taken after. */
  take(): string;
}

function collect(stream: Readable | null): Collected {
  let text = '';
  stream?.setEncoding('utf8').on('data', (part: string) => (text = (text + part).slice(0, MOST_CHARACTERS)));
  const closed = new Promise<void>((resolve) => {
    if (stream === null) resolve();
    stream?.once('close', () => resolve());
    stream?.on('error', () => resolve());
  });
  return { closed, take: () => (stream?.destroy(), text) };
}

function cannotStart(program: string, cause: NodeJS.ErrnoException): Failure<CommandCode> {
  if (cause.code === 'EACCES') {
    return new Failure('environment', 'host/nitro-cli-forbidden', `${program} may not be run by this user`, { cause });
  }
  return new Failure('environment', 'host/nitro-cli-absent', `there is no ${program} on this machine`, {
    hint: 'on Amazon Linux 2023: `sudo dnf install -y aws-nitro-enclaves-cli aws-nitro-enclaves-cli-devel`',
    cause,
  });
}
