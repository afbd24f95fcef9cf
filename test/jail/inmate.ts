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

function attempt(asked: Attempt): number {
  if ('call' in asked) return run(asked.call);
  if ('fork' in asked) {
    const child = run(asked.fork);
    if (child === 0) run({ number: EXIT_GROUP, arguments: [0] });
    return child;
  }
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
