/**
 * What a jail may ask of the kernel.
 *
 * The list was found by looking at the two jails of pictures through strace, from their first input to their end, with good and damaged
 * pictures and models, running out of memory, and abort(). What is refused with an error is what libraries try in passing and can
 * do without; what ends the process no library of ours ever does.
 */
import { assemble, type Filter, type Rule } from './seccomp-bpf.ts';
import { HOSTILE, PATHS, PLAIN } from './system-calls.ts';

const EPERM = 1;
const ENOENT = 2;
const EAGAIN = 11;
const EINVAL = 22;
const ENOSYS = 38;

const SYSLOG = 103;
const EXECVE = 59;
const EXECVEAT = 322;
const CLONE = 56;
const CLONE3 = 435;
const FCNTL = 72;
const NEWFSTATAT = 262;
const PRCTL = 157;
const PRLIMIT64 = 302;
const SECCOMP = 317;
const TGKILL = 234;
const MADVISE = 28;
const FUTEX = 202;
const SCHED_GETAFFINITY = 204;
const CLOCK_GETTIME = 228;
const CLOCK_GETRES = 229;
const CLOCK_NANOSLEEP = 230;

/**
 * CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS | PARENT_SETTID | CHILD_CLEARTID: the flags of the C library's
 * pthread_create, and no others.
 */
const THREAD_FLAGS = 0x3d0f00;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const PR_SET_NAME = 15;

const FUTEX_OPERATIONS = 14;
const FUTEX_PRIVATE_FLAG = 128;
const FUTEX_CLOCK_REALTIME = 256;
/** On memory of this process alone. Any other futex is found by the page of its file, and every jail has the C library's. */
const PRIVATE_FUTEXES = Array.from(
  { length: FUTEX_OPERATIONS },
  (_, operation) => operation | FUTEX_PRIVATE_FLAG,
).flatMap((operation) => [operation, operation | FUTEX_CLOCK_REALTIME]);
/** CLOCK_REALTIME to CLOCK_BOOTTIME_ALARM, and CLOCK_TAI. Other numbers mean the processor time of any process or thread. */
const OWN_CLOCKS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11];
/** NORMAL to DONTNEED, FREE, DONTFORK, DOFORK, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP: not what merges pages with those of others. */
const OWN_ADVICE = [0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17];

/** A structure behind a pointer cannot be judged: the C library then uses `clone`, whose flags can. */
const THREADS: readonly Rule[] = [
  { calls: [CLONE3], verdict: ENOSYS },
  { calls: [CLONE], verdict: 'allow', where: [{ argument: 0, is: [THREAD_FLAGS] }], otherwise: 'kill' },
];

/** Calls that are harmless with some arguments. `self`: the process's own number. */
const judged = (self: number): readonly Rule[] => [
  // fstat() is this one too, of an empty path; the filter cannot see whether a path is empty, and what /proc says of others changes.
  { calls: [NEWFSTATAT], verdict: ENOENT },
  {
    calls: [FCNTL],
    verdict: 'allow',
    where: [{ argument: 1, is: [F_GETFD, F_SETFD, F_GETFL, F_SETFL] }],
    otherwise: EPERM,
  },
  // The C library waits so for a thread to end, and asks again until it has.
  { calls: [FUTEX], verdict: 'allow', where: [{ argument: 1, is: PRIVATE_FUTEXES }], otherwise: EAGAIN },
  {
    calls: [CLOCK_GETTIME, CLOCK_GETRES, CLOCK_NANOSLEEP],
    verdict: 'allow',
    where: [{ argument: 0, is: OWN_CLOCKS }],
    otherwise: EINVAL,
  },
  { calls: [MADVISE], verdict: 'allow', where: [{ argument: 2, is: OWN_ADVICE }], otherwise: EINVAL },
  { calls: [SCHED_GETAFFINITY], verdict: 'allow', where: [{ argument: 0, is: [0, self] }], otherwise: EPERM },
  // abort() sends the process itself a signal.
  { calls: [TGKILL], verdict: 'allow', where: [{ argument: 0, is: [self] }], otherwise: 'kill' },
  { calls: [PRCTL], verdict: 'allow', where: [{ argument: 0, is: [PR_SET_NAME] }], otherwise: EPERM },
  {
    // Its own limits, and no new ones.
    calls: [PRLIMIT64],
    verdict: 'allow',
    where: [
      { argument: 0, is: [0, self] },
      { argument: 2, is: [0], wide: true },
    ],
    otherwise: 'kill',
  },
];

/** `self`: the jail's number as its namespace counts. */
export const jailFilter = (self: number): Filter => ({
  rules: [
    { calls: Object.values(PLAIN), verdict: 'allow' },
    ...THREADS,
    ...judged(self),
    { calls: Object.values(PATHS), verdict: ENOENT },
    { calls: [EXECVE, EXECVEAT, SECCOMP, SYSLOG, ...Object.values(HOSTILE)], verdict: 'kill' },
  ],
  rest: EPERM,
});

/** From the first instruction of Node on, while it and its libraries load: what is hostile in any phase. */
export const START_FILTER: Filter = {
  rules: [...THREADS, { calls: [SYSLOG, ...Object.values(HOSTILE)], verdict: 'kill' }],
  rest: 'allow',
};

export const startProgram = (): Uint8Array => assemble(START_FILTER);
export const jailProgram = (self: number): Uint8Array => assemble(jailFilter(self));
