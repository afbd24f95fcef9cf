/**
 * A control group for each jail (cgroup v2), where the gate may make one: it bounds memory however it is taken, and gives
 * jails less of the processors than the gate.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import type { Timers } from '../deadline.ts';

/** The image's init has made a group for jails, which weigh less than the gate all together; elsewhere there is the root. */
const GROUP_FOR_JAILS = '/sys/fs/cgroup/jails';
const FOLDERS = [GROUP_FOR_JAILS, '/sys/fs/cgroup'] as const;
const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;
/** Of memory of one jail, shared memory and page cache included. */
const MOST_BYTES = 2.25 * 2 ** 30;
/** And never more than this part of the machine's: the gate keeps the rest. */
const SHARE = 0.75;
/** Threads count as processes. */
const PROCESSES = 96;
/**
 * Share of the processors beside other jails, and, where the root is the group of all, beside everything else, of which each
 * has 100. In the image it is the group of all jails that is weighed against the gate.
 */
const WEIGHT = 20;
const AGAIN_MS = 50;
const TRIES = 20;

export interface Cgroups {
  /** Puts a process, and all that it starts from now on, in a group of its own until it ends. Throws where it cannot. */
  add(child: ChildProcess, pid: number): void;
}

/** Whether the image's own init made this system, on its own kernel: no other makes such a group. */
export const hasGroupForJails = (): boolean => existsSync(GROUP_FOR_JAILS);

/** Undefined where there is no cgroup v2 that may be written, with these controllers. */
export function openCgroups(timers: Timers): Cgroups | undefined {
  const folder = FOLDERS.find(existsSync);
  if (folder === undefined) return undefined;
  let made = 0;
  /** Groups may stand there that were left behind when another gate of this process's number was killed. */
  const make = (): string => {
    for (;;) {
      const group = join(folder, `jail-${process.pid}-${++made}`);
      if (!existsSync(group)) return makeGroup(group);
    }
  };
  try {
    const offered = readFileSync(join(folder, 'cgroup.controllers'), 'utf8').trim().split(' ');
    if (!CONTROLLERS.every((name) => offered.includes(name))) return undefined;
    writeFileSync(join(folder, 'cgroup.subtree_control'), CONTROLLERS.map((name) => `+${name}`).join(' '));
    rmdirSync(make());
  } catch {
    return undefined;
  }
  return {
    add(child, pid) {
      const group = make();
      child.once('close', () => leave(group, timers, TRIES));
      writeFileSync(join(group, 'cgroup.procs'), String(pid));
    },
  };
}

/** Named after its gate: a local host has other gates beside it. */
function makeGroup(group: string): string {
  mkdirSync(group);
  try {
    bound(group);
  } catch (error) {
    rmdirSync(group);
    throw error;
  }
  return group;
}

function bound(group: string): void {
  const bytes = Math.floor(Math.min(MOST_BYTES, totalmem() * SHARE));
  const values = { 'memory.max': bytes, 'memory.oom.group': 1, 'pids.max': PROCESSES, 'cpu.weight': WEIGHT };
  for (const [name, value] of Object.entries(values)) writeFileSync(join(group, name), String(value));
}

/** The kernel lets a group go once the last process in it is reaped; that may be a moment after its end was seen. */
function leave(group: string, timers: Timers, tries: number): void {
  try {
    rmdirSync(group);
  } catch {
    if (tries > 0) timers(AGAIN_MS, () => leave(group, timers, tries - 1));
  }
}
