/** What is done in the background: once at a time, bounded, and never lost. */
import { expect, test } from 'vitest';
import { createErrands } from '../../../enclave/state/errands.ts';
import type { Errands } from '../../../enclave/state/errands.ts';
import { Failure } from '../../../policies/failure.ts';
import { createHandTimers } from '../hand-timers.ts';

interface Watched {
  readonly errands: Errands;
  readonly failed: string[];
  readonly faults: unknown[];
  readonly elapse: (milliseconds: number) => void;
  readonly idle: () => Promise<void>;
}

function watched(): Watched {
  const hand = createHandTimers();
  const [failed, faults]: [string[], unknown[]] = [[], []];
  const errands = createErrands({
    timers: hand.timers,
    failed: ({ code }) => failed.push(code),
    fault: (error) => faults.push(error),
  });
  const idle = async (): Promise<void> => {
    while (errands.isUnderWay()) await errands.change(new AbortController().signal);
  };
  return { errands, failed, faults, elapse: (milliseconds) => hand.elapse(milliseconds), idle };
}

const failure = (code: string): Failure => new Failure('refused', code, code);
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

test('one of each name at a time; asked for meanwhile, once more afterwards', async () => {
  const { errands, idle } = watched();
  let [runs, at, most] = [0, 0, 0];
  const work = async (): Promise<void> => {
    runs += 1;
    most = Math.max(most, (at += 1));
    await Promise.resolve();
    at -= 1;
  };
  for (let i = 0; i < 5; i += 1) errands.run('a', work);
  await idle();
  expect([runs, most]).toEqual([2, 1]);
});

test('not once more for the same lender, but for another', async () => {
  const { errands, idle } = watched();
  const [one, two] = [new AbortController(), new AbortController()];
  const by: string[] = [];
  errands.run('a', async () => void by.push('one'), { outer: one.signal });
  errands.run('a', async () => void by.push('one again'), { outer: one.signal });
  errands.run('a', async () => void by.push('two'), { outer: two.signal });
  await idle();
  expect(by).toEqual(['one', 'two']);
});

test('a failure is told once, kept until it is mended, and then gone', async () => {
  const { errands, failed, idle } = watched();
  const fail = (code: string) => async (): Promise<void> => {
    throw failure(code);
  };
  for (const code of ['x', 'x', 'y']) {
    errands.run('a', fail(code));
    await idle();
  }
  expect(failed).toEqual(['x', 'y']);
  expect([...errands.failures].map(([name, { code }]) => [name, code])).toEqual([['a', 'y']]);
  errands.run('a', () => Promise.resolve());
  await idle();
  expect(errands.failures.size).toBe(0);
});

test('whoever lent the credentials goes: the errand ends, and that is no failure', async () => {
  const { errands, failed, faults, idle } = watched();
  const lender = new AbortController();
  errands.run('a', aborted, { outer: lender.signal });
  lender.abort(new Error('gone'));
  await idle();
  errands.run('b', () => Promise.reject(new Error('not begun')), { outer: lender.signal });
  expect([errands.isUnderWay(), failed, faults]).toEqual([false, [], []]);
});

test('none goes on without end, and an error of ours is not swallowed', async () => {
  const { errands, failed, faults, elapse, idle } = watched();
  errands.run('a', aborted);
  elapse(90_000);
  await idle();
  expect(failed).toEqual(['deadline/passed']);
  const bug = new TypeError('a bug');
  errands.run('b', () => Promise.reject(bug));
  await idle();
  expect(faults).toEqual([bug]);
});

test('closing ends all of them, and begins no more', async () => {
  const { errands, failed, idle } = watched();
  errands.run('a', aborted);
  errands.close();
  await idle();
  errands.run('b', () => Promise.reject(failure('begun')));
  expect([errands.isUnderWay(), failed]).toEqual([false, []]);
});
