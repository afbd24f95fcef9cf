/** A jail as the gate holds it: one process, one pipe, one question at a time. */
import { readFileSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { totalBytes } from '../encoding/bytes.ts';
import { assembleFrame, frameHeader, type Frame, type FrameLimits, type FrameType } from './frames.ts';
import { jailFailure } from './jail-failure.ts';
import type { JailSpec, Prison } from './prison.ts';

export interface Jail {
  /** Of the process that reads inputs; where bubblewrap started it, of bubblewrap until then. */
  readonly pid: number;
  /**
   * Sends one frame and gives the answer, whose type and length `limits` bounds. The parts must not change until then.
   * Rejects with `jail/compute-failed` when the process ends or says anything else, and ends it.
   */
  ask(type: FrameType, parts: readonly Uint8Array[], limits: FrameLimits): Promise<Frame>;
  /** Has the kernel give it no time until it is asked: whatever it has become, it does nothing that nobody asked for. */
  rest(): void;
  /** Ends the process, whatever it is doing. Resolves when it is gone. */
  kill(): Promise<void>;
  readonly alive: () => boolean;
}

const failed = (why: string): Error => jailFailure('jail/compute-failed', why);

/** Starts a process. Throws `jail/not-started` where there is nothing to start. */
export function spawnJail(spec: JailSpec, prison: Prison): Jail {
  const child = prison.start(spec);
  const pipe = child.stdio[3];
  const { pid } = child;
  if (pid === undefined || !(pipe instanceof Socket)) {
    child.on('error', () => {});
    throw jailFailure(
      'jail/not-started',
      `the jail's process cannot be started (${spec.node} ${spec.entry} in ${spec.cwd})`,
    );
  }
  let over = false;
  let isResting = false;
  // `close`: the process has ended, and nothing that it started holds the pipe any more.
  const gone = new Promise<void>((resolve) =>
    child.once('close', () => {
      over = true;
      resolve();
    }),
  );
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
    assembler.wipe();
    if (!over) signalGroup(pid, 'SIGKILL');
    pipe.end();
    pipe.resume();
    settle(dead);
  };
  child.once('exit', () => end('the process ended before it had an answer'));
  child.on('error', () => end('the process cannot be reached'));
  pipe.on('error', () => end('the pipe broke'));
  pipe.on('end', () => end('the process closed its pipe'));
  pipe.on('data', (chunk: Uint8Array) => {
    if (dead !== undefined) return;
    if (waiting === undefined) return end('the process spoke without being asked');
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
    get pid() {
      return startedBy(pid) ?? pid;
    },
    alive: () => dead === undefined,
    async ask(type, parts, limits) {
      if (dead !== undefined) throw dead;
      if (waiting !== undefined) throw failed('the process is still busy with another question');
      const answer = new Promise<Frame | Error>((resolve) => {
        waiting = resolve;
      });
      assembler = assembleFrame(limits);
      if (isResting) signalGroup(pid, 'SIGCONT');
      isResting = false;
      send(pipe, type, parts);
      const outcome = await answer;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    rest() {
      if (dead !== undefined || waiting !== undefined || isResting) return;
      signalGroup(pid, 'SIGSTOP');
      isResting = true;
    },
    async kill() {
      end('the process was ended');
      await gone;
    },
  };
}

/** To all that bubblewrap started, too. Whoever is gone already is none of them. */
function signalGroup(leader: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // none is left
  }
}

/** The one child of a process; undefined where it has none, or the kernel does not say. */
function startedBy(pid: number): number | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return child === undefined || child === '' ? undefined : Number(child);
  } catch {
    return undefined;
  }
}

/** Node keeps the parts by reference until they are written: nothing is copied. */
function send(
  pipe: NonNullable<ChildProcess['stdio'][3]> & Socket,
  type: FrameType,
  parts: readonly Uint8Array[],
): void {
  pipe.cork();
  pipe.write(frameHeader(type, totalBytes(parts)));
  for (const part of parts) if (part.length > 0) pipe.write(part);
  pipe.uncork();
}
