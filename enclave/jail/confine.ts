/**
 * A jail shuts itself in before its first input. What holds it then is the kernel: bounds on what it may take, and a filter
 * on what it may ask for, which nothing in the process can lift again. It works in every Linux, as any user, with or
 * without the namespaces that the gate starts it in (prison.ts).
 */
import { writeFileSync, writeSync } from 'node:fs';
import { openLibrary } from '../libc.ts';
import { LENIENT, PROBE, writeHeld, type Held } from './probe.ts';
import { jailProgram } from './seccomp.ts';
import { isUserOfJails } from './users.ts';

/** What one jail may take. */
export interface JailLimits {
  /** Of memory of its own that it writes to, code and libraries included, in bytes. */
  readonly dataBytes: number;
  /** Of addresses, in bytes: what is merely reserved counts. onnxruntime needs more than 4 GiB. */
  readonly addressBytes: number;
  /** Of processor time, in all its life. */
  readonly cpuSeconds: number;
}

const PIPE = 3;
/** Node's own descriptors and the pipe; the filter lets none be opened. */
const OPEN_FILES = 64;
/** Threads count as processes. */
const THREADS = 64;

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const SIGKILL = 9;
/** More than the struct has: V8 moves arrays of up to 64 bytes, and the kernel is given an address. */
const SOCK_FPROG_BYTES = 128;
const SYS_SECCOMP = 317;
const SECCOMP_SET_MODE_FILTER = 1;
/** On all threads of the process at once. */
const SECCOMP_FILTER_FLAG_TSYNC = 1;

/** <asm-generic/resource.h> */
const RLIMIT = { cpu: 0, fsize: 1, data: 2, core: 4, nproc: 6, nofile: 7, memlock: 8, as: 9, msgqueue: 12 } as const;

/**
 * Shuts the process in. Throws where the kernel does not take a filter or a bound, unless the gate has said that it knows.
 * A process that was started to try this out tells the gate what holds, and ends.
 */
export function confine(limits: JailLimits, mode: string | undefined = process.argv[2]): void {
  volunteerForTheOomKiller();
  const held = shutIn(limits);
  if (mode === PROBE) {
    writeSync(PIPE, writeHeld(held));
    process.exit(0);
  }
  if (mode !== LENIENT && !(held.seccomp && held.limits)) throw new Error('the kernel does not hold this process');
}

/** Where memory runs out, the kernel takes the jail and not the gate. Does nothing where the kernel does not allow it. */
function volunteerForTheOomKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // No /proc in here: then the gate has done it.
  }
}

function shutIn(limits: JailLimits): Held {
  const { pid } = process;
  const uid = process.getuid?.() ?? 0;
  const calls = bindCalls();
  if (calls === undefined) return { seccomp: false, limits: false, uid, pid };
  // Where a namespace does not end it with the gate, this does. A gate that is gone by now has closed the pipe.
  calls.prctl(PR_SET_PDEATHSIG, SIGKILL);
  const undumpable = calls.prctl(PR_SET_DUMPABLE, 0) === 0;
  const bounded = bound(calls, limits, pid === 1 || isUserOfJails(uid));
  const seccomp = process.arch === 'x64' && filter(calls, jailProgram(pid));
  return { seccomp, limits: bounded && undumpable, uid, pid };
}

/** `alone`: no other process counts towards its user's. */
function bound(calls: Calls, { dataBytes, addressBytes, cpuSeconds }: JailLimits, alone: boolean): boolean {
  const bounds: readonly (readonly [number, number])[] = [
    [RLIMIT.data, dataBytes],
    [RLIMIT.as, addressBytes],
    [RLIMIT.cpu, cpuSeconds],
    [RLIMIT.nofile, OPEN_FILES],
    [RLIMIT.fsize, 0],
    [RLIMIT.core, 0],
    [RLIMIT.memlock, 0],
    [RLIMIT.msgqueue, 0],
    ...(alone ? [[RLIMIT.nproc, THREADS] as const] : []),
  ];
  return bounds.every(([resource, most]) => calls.setrlimit(resource, most) === 0);
}

function filter(calls: Calls, program: Uint8Array): boolean {
  if (calls.prctl(PR_SET_NO_NEW_PRIVS, 1) !== 0) return false;
  // struct sock_fprog { unsigned short len; struct sock_filter *filter; }
  const header = Buffer.alloc(SOCK_FPROG_BYTES);
  header.writeUInt16LE(program.length / 8);
  header.writeBigUInt64LE(calls.addressOf(program), 8);
  return calls.seccomp(header) === 0;
}

interface Calls {
  prctl(option: number, value: number): number;
  /** Sets both the soft and the hard limit. */
  setrlimit(resource: number, most: number): number;
  seccomp(program: Uint8Array): number;
  addressOf(bytes: Uint8Array): bigint;
}

/** Undefined where koffi or the C library is not there. */
function bindCalls(): Calls | undefined {
  try {
    const { koffi, library: libc } = openLibrary();
    const prctl = libc.func(
      'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
    );
    const setrlimit = libc.func('int setrlimit(int resource, const void *limit)');
    const syscall = libc.func('long syscall(long number, unsigned long a, unsigned long b, const void *c)');
    return {
      prctl: (option, value) => prctl(option, value, 0, 0, 0),
      setrlimit: (resource, most) => setrlimit(resource, BigUint64Array.of(BigInt(most), BigInt(most))),
      seccomp: (program) => syscall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program),
      addressOf: (bytes) => koffi.address(bytes),
    };
  } catch {
    return undefined;
  }
}
