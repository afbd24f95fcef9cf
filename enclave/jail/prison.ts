/**
 * How jails are started on this machine: through bubblewrap and as another user where that works, which is found out by
 * trying it once, with a real jail. What a jail does to itself (confine.ts) does not depend on it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Timers } from '../deadline.ts';
import { closeInheritedOnExec } from '../libc.ts';
import { ARGUMENTS_FD, BUBBLEWRAP_LINE, BWRAP, FILTER_FD, bubblewrapArguments } from './bubblewrap.ts';
import { openCgroups, type Cgroups } from './cgroups.ts';
import type { Confinement } from './confinement.ts';
import { jailFailure } from './jail-failure.ts';
import { LENIENT, PROBE, readHeld, type Held } from './probe.ts';
import { startProgram } from './seccomp.ts';
import { isUserOfJails, usersOfJails, type Users } from './users.ts';

export interface JailSpec {
  /** The Node binary, and the process's entry file. */
  readonly node: string;
  readonly entry: string;
  /** An empty folder. */
  readonly cwd: string;
  /** All of its environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Prison {
  readonly confinement: Confinement;
  /** Leads a process group of its own; its descriptor 3 is the pipe. Throws `jail/not-started` where the kernel refuses. */
  start(spec: JailSpec): ChildProcess;
}

/** What a machine starts jails with. */
interface Means {
  readonly bwrap: string;
  readonly users: Users;
  readonly cgroups?: Cgroups | undefined;
  readonly timers: Timers;
}

interface Manner {
  readonly bubblewrap: boolean;
  readonly otherUser: boolean;
}

/** Nothing in a jail makes code from text; its JavaScript needs little memory (native memory is not counted here). */
const FLAGS = ['--disallow-code-generation-from-strings', '--max-old-space-size=256'];
/** Computing must not keep the gate from answering in time. */
const NICENESS = 10;
const PROBE_MS = 30_000;
/** The kernel lets ordinary users change the share of one session in 100 ms, of all that there are. */
const SHARE_AGAIN_MS = 110;
const SHARE_TRIES = 10;

/** Tries with the program of `spec` what works here, the tightest first. Throws `jail/not-started` where nothing does. */
export async function openPrison(spec: JailSpec, timers: Timers, bwrap: string = BWRAP): Promise<Prison> {
  attempt(closeInheritedOnExec);
  const root = process.getuid?.() === 0;
  const manners: readonly Manner[] = [
    { bubblewrap: true, otherUser: true },
    { bubblewrap: false, otherUser: true },
    { bubblewrap: true, otherUser: false },
    { bubblewrap: false, otherUser: false },
  ];
  const possible = manners.filter((manner) => (root || !manner.otherUser) && (existsSync(bwrap) || !manner.bubblewrap));
  const means: Means = { bwrap, users: usersOfJails(), timers };
  for (const manner of possible) {
    const held = await probe(spec, manner, timers, means);
    if (held !== undefined) return prisonOf(manner, held, { ...means, cgroups: openCgroups(timers) });
  }
  throw jailFailure('jail/not-started', `no jail can be started here (${spec.node} ${spec.entry} in ${spec.cwd})`);
}

function prisonOf(manner: Manner, held: Held, means: Means): Prison {
  const { seccomp, limits } = held;
  const mode = seccomp && limits ? [] : [LENIENT];
  return {
    confinement: {
      user: manner.otherUser && isUserOfJails(held.uid),
      namespaces: manner.bubblewrap && held.pid === 1,
      seccomp,
      limits,
      cgroup: means.cgroups !== undefined,
    },
    start: (jail) => start(jail, manner, mode, means),
  };
}

function start(
  { node, entry, cwd, env }: JailSpec,
  { bubblewrap, otherUser }: Manner,
  mode: readonly string[],
  { bwrap, users, cgroups, timers }: Means,
): ChildProcess {
  const program = [node, ...FLAGS, entry, ...mode];
  const [command = node, ...rest] = bubblewrap ? [bwrap, ...BUBBLEWRAP_LINE, ...program] : program;
  const user = otherUser ? users.take() : undefined;
  const free = (): void => {
    if (user !== undefined) users.free(user);
  };
  let child: ChildProcess;
  try {
    child = spawn(command, rest, {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', ...(bubblewrap ? (['pipe', 'pipe'] as const) : [])],
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
  } catch {
    // Some refusals of the kernel, that of another user for one, Node throws instead of telling them as events.
    free();
    throw jailFailure('jail/not-started', `the kernel refuses to start a jail (${node} ${entry} in ${cwd})`);
  }
  const { pid } = child;
  // `close`: nothing that it started holds its pipe any more, and it comes too where nothing was started.
  child.once('close', free);
  if (pid === undefined) return child;
  attempt(() => setPriority(pid, NICENESS));
  yieldSession(child, pid, timers, SHARE_TRIES);
  attempt(() => writeFileSync(`/proc/${pid}/oom_score_adj`, '1000'));
  try {
    cgroups?.add(child, pid);
  } catch {
    // No control group can be had now: a jail is not held by less than was said.
    child.kill('SIGKILL');
    return child;
  }
  // Not before: what bubblewrap starts inherits all of the above.
  tell(child, ARGUMENTS_FD, bubblewrapArguments({ node, entry }));
  tell(child, FILTER_FD, startProgram());
  return child;
}

/** Where the kernel gives each session its share (autogroups), a process's own counts within its session alone. */
function yieldSession(child: ChildProcess, pid: number, timers: Timers, tries: number): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS));
  } catch (error) {
    const isTooSoon = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
    if (isTooSoon && tries > 0) timers(SHARE_AGAIN_MS, () => yieldSession(child, pid, timers, tries - 1));
  }
}

/** Where the process was given such a descriptor to read from. */
function tell(child: ChildProcess, descriptor: number, words: string | Uint8Array): void {
  const pipe = child.stdio[descriptor];
  if (pipe === undefined || pipe === null || !('end' in pipe)) return;
  pipe.on('error', () => {});
  pipe.end(words);
}

/** What a machine may not offer. What holds a jail is found out by looking at one (`probe`), and does not depend on it. */
function attempt(run: () => void): void {
  try {
    run();
  } catch {
    // It goes without.
  }
}

/** What holds a jail that is started this way; undefined where none starts. */
async function probe(spec: JailSpec, manner: Manner, timers: Timers, means: Means): Promise<Held | undefined> {
  let child: ChildProcess;
  try {
    child = start(spec, manner, [PROBE], means);
  } catch {
    return undefined;
  }
  const pipe = child.stdio[3];
  if (pipe === undefined || pipe === null || !('setEncoding' in pipe)) {
    child.on('error', () => {});
    return undefined;
  }
  const stop = timers(PROBE_MS, () => void child.kill('SIGKILL'));
  try {
    return await new Promise<Held | undefined>((resolve) => {
      let said = '';
      pipe.setEncoding('utf8').on('data', (text: string) => (said += text));
      pipe.on('error', () => {});
      child.on('error', () => resolve(undefined));
      child.on('close', () => resolve(readHeld(said)));
    });
  } finally {
    stop();
  }
}
