/** A jail as the gate holds it: one process, one pipe, one question at a time. */
import { spawn, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { assembleFrame, frameHeader, type Frame, type FrameLimits, type FrameType } from './frames.ts';
import { jailFailure } from './jail-failure.ts';

export interface JailSpec {
  /** The Node binary, and the process's entry file. */
  readonly node: string;
  readonly entry: string;
  /** An empty folder. */
  readonly cwd: string;
  /** All of its environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Jail {
  readonly pid: number;
  /**
   * Sends one frame and gives the answer, whose type and length `limits` bounds. The parts must not change until then.
   * Rejects with `jail/compute-failed` when the process ends or says anything else, and ends it.
   */
  ask(type: FrameType, parts: readonly Uint8Array[], limits: FrameLimits): Promise<Frame>;
  /** Ends the process, whatever it is doing. Resolves when it is gone. */
  kill(): Promise<void>;
  readonly alive: () => boolean;
}

/** Nothing in a jail makes code from text; its JavaScript needs little memory (native memory is not counted here). */
const FLAGS = ['--disallow-code-generation-from-strings', '--max-old-space-size=256'];

const failed = (why: string): Error => jailFailure('jail/compute-failed', why);

/** Starts a process. Throws `jail/not-started` where there is nothing to start. */
export function spawnJail({ node, entry, cwd, env }: JailSpec): Jail {
  const child = spawn(node, [...FLAGS, entry], { cwd, env, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const pipe = child.stdio[3];
  if (child.pid === undefined || !(pipe instanceof Socket)) {
    child.on('error', () => {});
    throw jailFailure('jail/not-started', `the jail's process cannot be started (${node} ${entry} in ${cwd})`);
  }
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let waiting: ((outcome: Frame | Error) => void) | undefined;
  let dead: Error | undefined;
  let assembler = assembleFrame({});

  const settle = (outcome: Frame | Error): void => {
    const resolve = waiting;
    waiting = undefined;
    resolve?.(outcome);
  };
  const end = (why: string): void => {
    dead ??= failed(why);
    child.kill('SIGKILL');
    pipe.destroy();
    settle(dead);
  };
  child.once('exit', () => end('the process ended before it had an answer'));
  child.on('error', () => end('the process cannot be reached'));
  pipe.on('error', () => end('the pipe broke'));
  pipe.on('end', () => end('the process closed its pipe'));
  pipe.on('data', (chunk: Uint8Array) => {
    try {
      const frame = assembler.push(chunk);
      if (frame === undefined) return;
      assembler = assembleFrame({});
      settle(frame);
    } catch {
      end('the process broke the protocol');
    }
  });

  return {
    pid: child.pid,
    alive: () => dead === undefined,
    async ask(type, parts, limits) {
      if (dead !== undefined) throw dead;
      if (waiting !== undefined) throw failed('the process is still busy with another question');
      const answer = new Promise<Frame | Error>((resolve) => {
        waiting = resolve;
      });
      assembler = assembleFrame(limits);
      send(pipe, type, parts);
      const outcome = await answer;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    async kill() {
      end('the process was ended');
      if (child.exitCode === null && child.signalCode === null) await gone;
    },
  };
}

/** Node keeps the parts by reference until they are written: nothing is copied. */
function send(
  pipe: NonNullable<ChildProcess['stdio'][3]> & Socket,
  type: FrameType,
  parts: readonly Uint8Array[],
): void {
  pipe.cork();
  pipe.write(
    frameHeader(
      type,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
  );
  for (const part of parts) if (part.length > 0) pipe.write(part);
  pipe.uncork();
}
