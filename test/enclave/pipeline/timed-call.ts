/** A gate whose time is moved by hand, and calls whose answers are seen leaving. */
import type { Duplex } from 'node:stream';
import { expect } from 'vitest';
import { MARGIN_MS } from '../../../enclave/pipeline/lateness.ts';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import type { World } from '../../../enclave/service.ts';
import type { Policy } from '../../../policies/model.ts';
import type { HandSchedule } from '../hand-schedule.ts';
import { createHandSchedule } from '../hand-schedule.ts';
import type { GateOptions, TestGate } from '../harness.ts';

export const AFTER_MS = 250;

/** The same policy, whose answers leave after a time. */
export function timed(policy: Policy, afterMs: number = AFTER_MS): Policy {
  const functions = Object.entries(policy.functions).map(([name, found]) => [
    name,
    { ...found, release: { ...found.release, afterMs } },
  ]);
  return { ...policy, functions: Object.fromEntries(functions) };
}

export interface Written {
  /** The connection, counted from 0 in the order in which they came. */
  readonly connection: number;
  readonly at: number;
  readonly bytes: number;
}

export interface Watch {
  readonly schedule: HandSchedule;
  /** Each write of the gate to any session, of `sealed` messages and all others. */
  readonly written: Written[];
  readonly options: Pick<GateOptions, 'schedule' | 'world'>;
  /** From now on this gate's calls are counted: once something has come of them, in time or not. */
  observe(gate: TestGate): void;
  settled(): number;
}

export function createWatch(): Watch {
  const schedule = createHandSchedule();
  const written: Written[] = [];
  let connections = 0;
  let settled = 0;
  const watched = (stream: Duplex): Duplex => {
    const connection = connections++;
    const write = stream.write.bind(stream);
    stream.write = (chunk: Uint8Array, ...rest: never[]) => {
      written.push({ connection, at: schedule.now(), bytes: chunk.length });
      return write(chunk, ...rest);
    };
    return stream;
  };
  const world = (real: World): World => ({
    ...real,
    vsock: { ...real.vsock, listen: (port, accept) => real.vsock.listen(port, (stream) => accept(watched(stream))) },
  });
  return {
    schedule,
    written,
    options: { schedule, world },
    observe({ keyed }) {
      const { underWay } = keyed.gate;
      const before = { ...underWay };
      Object.assign(underWay, { run: (work: never) => before.run(work).finally(() => (settled += 1)) });
    },
    settled: () => settled,
  };
}

/** Moves time on until `calls` are answered. */
export async function until<T>({ schedule }: Watch, calls: Promise<T>): Promise<T> {
  const over = new AbortController();
  const end = (): void => over.abort();
  calls.then(end, end);
  while (!over.signal.aborted) {
    if (schedule.pending() > 0) schedule.toNext();
    await new Promise((resolve) => void setTimeout(resolve, 1));
  }
  return calls;
}

export interface Left {
  readonly answer: Answer;
  /** From the request's arrival to the answer's first and only write. */
  readonly afterMs: number;
  readonly bytes: number;
}

/**
 * Follows one call from its arrival to its answer. `settles`: whether something comes of it before its time is over; where
 * nothing does, what is then in its place must leave all the same.
 */
export async function follow(
  watch: Watch,
  call: Promise<Answer | 'closed'>,
  settles = true,
  overdue: () => Promise<void> | void = () => {},
): Promise<Left> {
  const { schedule, written } = watch;
  const [before, settledBefore] = [written.length, watch.settled()];
  const arrival = schedule.now();
  // The moment of decision. Whatever has come of the call by then, nothing is sealed before.
  await expect.poll(() => schedule.pending(), { timeout: 5_000 }).toBe(1);
  if (settles) await expect.poll(() => watch.settled(), { timeout: 5_000 }).toBeGreaterThan(settledBefore);
  expect(schedule.pending()).toBe(1);
  schedule.toNext();
  expect(schedule.now()).toBe(arrival + AFTER_MS - MARGIN_MS);
  await overdue();
  // The answer's own, once it is sealed.
  await expect.poll(() => schedule.pending(), { timeout: 5_000 }).toBe(1);
  schedule.toNext(0.001);
  await new Promise((resolve) => void setTimeout(resolve, 5));
  expect(written.length).toBe(before);
  schedule.toNext();
  expect(written.length).toBe(before + 1);
  const [{ at, bytes } = { at: 0, bytes: 0 }] = written.slice(before);
  const answer = await call;
  if (answer === 'closed') throw new Error('the connection was closed');
  return { answer, afterMs: at - arrival, bytes };
}
