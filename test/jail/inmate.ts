/**
 * A jail's program that was taken over: it is started and shuts itself in as every jail does, then does what it is asked,
 * by the system call itself. Started with `free` it shuts nothing: the control that shows that the attempt would work.
 */
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { confine, type JailLimits } from '../../enclave/jail/confine.ts';
import { FRAME } from '../../enclave/jail/frames.ts';
import { readFrame, writeFrame } from '../../enclave/jail/pipe.ts';

/** One system call: its number, and its arguments; text is a path, `buffer` some bytes of memory. */
export interface SystemCall {
  readonly number: number;
  readonly arguments: readonly (number | string | { readonly buffer: number })[];
}

export type Attempt =
  | { readonly call: SystemCall }
  /** Takes so many bytes. */
  | { readonly fill: number }
  /** Takes so much processor time. */
  | { readonly spinMs: number }
  /** Forks, and ends the child. */
  | { readonly fork: SystemCall }
  /** By a futex on a page of the C library, which every process maps: waits to be woken, or wakes whoever waits. */
  | { readonly meet: 'wait' | 'wake' }
  | { readonly abort: true };

/** What came of it; a process that was ended gives none. */
export interface Outcome {
  /** Below 0: `-errno`. */
  readonly result: number;
}

const LIMITS: JailLimits = { dataBytes: 512 * 2 ** 20, addressBytes: 8 * 2 ** 30, cpuSeconds: 4 };

const koffi: typeof Koffi = createRequire(import.meta.url)('koffi');
const libc = koffi.load('libc.so.6');
const words = 'unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e, unsigned long f';
const syscall = libc.func(`long syscall(long number, ${words})`);
const EXIT_GROUP = 231;
const FUTEX = 202;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const MEETING_MS = 4_000;

/** What system calls point to, for as long as the process lives. */
const kept: Uint8Array[] = [];

function run({ number, arguments: given }: SystemCall): number {
  const values = given.map((value) => {
    if (typeof value === 'number') return value;
    const bytes = typeof value === 'string' ? Buffer.alloc(256) : Buffer.alloc(Math.max(128, value.buffer));
    if (typeof value === 'string') bytes.write(value);
    kept.push(bytes);
    return koffi.address(bytes);
  });
  const padded = [...values, 0, 0, 0, 0, 0, 0].slice(0, 6);
  const result = Number(syscall(number, ...padded));
  return result < 0 ? -koffi.errno() : result;
}

/** The last answer: of who waits, 0 where it was woken; of who wakes, how many were. */
function meet(role: 'wait' | 'wake'): number {
  const code = libc.symbol('qsort', 'int');
  const odd = Number(koffi.address(code) & 3n);
  const place = koffi.address(code) - BigInt(odd);
  const word = Number(koffi.decode(code, -odd, 'uint32_t'));
  const patience = Buffer.alloc(128);
  patience.writeBigInt64LE(BigInt(MEETING_MS / 1_000));
  kept.push(patience);
  const ask = (operation: number, value: number, timeout: number | bigint): number => {
    const result = Number(syscall(FUTEX, place, operation, value, timeout, 0, 0));
    return result < 0 ? -koffi.errno() : result;
  };
  if (role === 'wait') return ask(FUTEX_WAIT, word, koffi.address(patience));
  for (const end = Date.now() + MEETING_MS; ;) {
    const woken = ask(FUTEX_WAKE, 1, 0);
    if (woken !== 0 || Date.now() > end) return woken;
  }
}

function attempt(asked: Attempt): number {
  if ('call' in asked) return run(asked.call);
  if ('fork' in asked) {
    const child = run(asked.fork);
    if (child === 0) run({ number: EXIT_GROUP, arguments: [0] });
    return child;
  }
  if ('meet' in asked) return meet(asked.meet);
  if ('fill' in asked) {
    const blocks: Uint8Array[] = [];
    for (let bytes = 0; bytes < asked.fill; bytes += 2 ** 24) blocks.push(new Uint8Array(2 ** 24).fill(1));
    return blocks.length;
  }
  if ('spinMs' in asked) {
    while (process.cpuUsage().user < asked.spinMs * 1_000);
    return asked.spinMs;
  }
  process.abort();
}

if (process.argv[2] !== 'free') confine(LIMITS);
for (;;) {
  const frame = readFrame({ [FRAME.input]: 4_096 });
  if (frame === undefined) process.exit(0);
  const asked: Attempt = JSON.parse(new TextDecoder().decode(frame.body));
  const outcome: Outcome = { result: attempt(asked) };
  writeFrame(FRAME.candidates, [new TextEncoder().encode(JSON.stringify(outcome))]);
}
