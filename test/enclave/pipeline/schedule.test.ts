/** When things happen that are to happen at a moment: in virtual time, where a timer is as late as it likes. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Gaps, Schedule } from '../../../enclave/pipeline/schedule.ts';
import { MARGIN_MS } from '../../../enclave/pipeline/lateness.ts';
import { createSchedule } from '../../../enclave/pipeline/schedule.ts';
import { createVirtualTime } from '../virtual-time.ts';
import type { VirtualTime } from '../virtual-time.ts';

/** A turn of the event loop takes 2 µs; timers come up to `coarseMs` too early or too late. */
function inTime(coarseMs = 2): { readonly time: VirtualTime; readonly schedule: Schedule & Gaps } {
  const time = createVirtualTime({ turnMs: 0.002, wrongMs: (n) => coarseMs * 0.9 * (n % 2 === 0 ? 1 : -1) });
  return { time, schedule: createSchedule({ ...time, coarseMs }) };
}

/** Goes on in so many steps, all of them in the turn in which it was asked for. */
async function sealing(steps: number): Promise<void> {
  for (let step = 0; step < steps; step++) await Promise.resolve();
}

describe('a moment', () => {
  test('is met to within a turn of the event loop, never before, whatever the timers do', () => {
    const { time, schedule } = inTime();
    const late: number[] = [];
    for (const due of [3, 5.25, 17.001, 17.001, 400, 401.5, 100_000]) {
      schedule.at(due, () => late.push(schedule.now() - due));
    }
    time.pass(200_000);
    expect(late).toHaveLength(7);
    expect(Math.min(...late)).toBeGreaterThanOrEqual(-0.000_5);
    expect(Math.max(...late)).toBeLessThanOrEqual(0.002_1);
  });

  test('that has passed already is now, but not before the one who asks has gone on', () => {
    const { time, schedule } = inTime();
    time.pass(100);
    let happened = false;
    schedule.at(50, () => (happened = true));
    expect(happened).toBe(false);
    time.pass(0.01);
    expect(happened).toBe(true);
  });

  test('may ask for another one', () => {
    const { time, schedule } = inTime();
    const at: number[] = [];
    schedule.at(10, () => {
      at.push(schedule.now());
      schedule.at(10, () => at.push(schedule.now()));
      schedule.at(5, () => at.push(schedule.now()));
      schedule.at(20, () => at.push(schedule.now()));
    });
    time.pass(100);
    expect(at.map((ms) => Math.round(ms * 10) / 10)).toEqual([10, 10, 10, 20]);
  });

  test('where timers are exact needs no turns of the event loop at all', () => {
    const time = createVirtualTime({ turnMs: 0.002, wrongMs: () => 0 });
    const schedule = createSchedule({ ...time, coarseMs: 0 });
    const at: number[] = [];
    for (const due of [0.1 + 0.2, 7.7, 1e6 / 3]) schedule.at(due, () => at.push(schedule.now() - due));
    time.pass(1e6);
    expect(at.map(Math.abs).every((off) => off < 0.000_5)).toBe(true);
    expect(at).toHaveLength(3);
    expect(time.turns()).toBe(0);
  });
});

describe('many moments', () => {
  test('equal ones come in the order in which they were asked for', () => {
    const { time, schedule } = inTime();
    const order: number[] = [];
    for (let i = 0; i < 50; i++) schedule.at(30, () => order.push(i));
    time.pass(100);
    expect(order).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test('come in the order of their times, in whatever order they are asked for', () => {
    const times = fc.array(fc.double({ min: 0, max: 1_000, noNaN: true }), { maxLength: 60 });
    fc.assert(
      fc.property(times, (asked) => {
        const { time, schedule } = inTime();
        const seen: number[] = [];
        asked.forEach((at, i) => schedule.at(at, () => seen.push(i)));
        time.pass(2_000);
        const expected = asked.map((at, i) => ({ at, i }));
        expect(seen).toEqual(expected.toSorted((a, b) => a.at - b.at || a.i - b.i).map(({ i }) => i));
      }),
      { numRuns: 200 },
    );
  });

  test('a thousand need one timer at a time, and none when all are over', () => {
    const { time, schedule } = inTime();
    let happened = 0;
    for (let i = 0; i < 1_000; i++) {
      schedule.at(100 + ((i * 7919) % 1_000), () => happened++);
      expect(time.pending()).toBeLessThanOrEqual(1);
    }
    time.pass(5_000);
    expect(happened).toBe(1_000);
    expect(time.pending()).toBe(0);
  });

  test('the processor is idle until the earliest is near', () => {
    const { time, schedule } = inTime();
    schedule.at(1_000, () => {});
    time.pass(990);
    expect(time.turns()).toBe(0);
    time.pass(100);
    // Two milliseconds before, and as much again where the timer came too early; the most of it in naps.
    expect(time.turns()).toBeLessThan(300);
  });

  test.each([
    ['is idle', () => 0, true],
    ['has something to do', () => 0.04, false],
  ])('it naps before that where it %s, and never when the moment is at hand', (_, workMs, naps) => {
    const { time } = inTime();
    const at: number[] = [];
    const nap = (milliseconds: number): void => {
      at.push(time.now());
      time.nap(milliseconds);
    };
    const schedule = createSchedule({ ...time, nap, coarseMs: 2 });
    let due = false;
    schedule.at(100, () => (due = true));
    time.pass(97.9);
    const work = (): void => {
      time.nap(workMs() / 2.5);
      if (!due) time.immediate(work);
    };
    schedule.at(97.9, () => time.immediate(work));
    time.pass(10);
    expect(due).toBe(true);
    expect(at.length > 5).toBe(naps);
    expect(Math.max(0, ...at)).toBeLessThan(99.7);
  });
});

describe('what takes its time', () => {
  type Happened = readonly [what: string, turn: number];

  /** What happens, with the number of the turn of the event loop in which it does. */
  function recorded(time: VirtualTime): { readonly seen: Happened[]; readonly happens: (what: string) => () => void } {
    const seen: Happened[] = [];
    return { seen, happens: (what) => () => seen.push([what, time.turns()]) };
  }

  test('of several parties comes in rotation, one a turn, after all that is due and takes none', () => {
    const { time, schedule } = inTime();
    const { seen, happens } = recorded(time);
    for (let i = 0; i < 100; i++) schedule.at(10, happens(`alice ${i}`), 'alice');
    schedule.at(10.001, happens('bob'), 'bob');
    schedule.at(10.001, happens('leaves'));
    schedule.at(10.02, happens('leaves later'));
    time.pass(100);
    const order = seen.map(([what]) => what);
    expect(order).toHaveLength(103);
    expect(order.indexOf('bob')).toBeLessThanOrEqual(3);
    expect(order.indexOf('leaves')).toBeLessThanOrEqual(2);
    expect(order.indexOf('leaves later')).toBeLessThan(20);
    const own = seen.filter(([what]) => !what.startsWith('leaves'));
    expect(new Set(own.map(([, turn]) => turn)).size).toBe(own.length);
    expect(order.filter((what) => what.startsWith('alice'))).toEqual(
      Array.from({ length: 100 }, (_, i) => `alice ${i}`),
    );
  });

  test('is not forgotten where timers are exact', () => {
    const time = createVirtualTime({ turnMs: 0.002, wrongMs: () => 0 });
    const schedule = createSchedule({ ...time, coarseMs: 0 });
    const { seen, happens } = recorded(time);
    for (const party of ['alice', 'alice', 'bob', 'alice']) schedule.at(5, happens(party), party);
    time.pass(10);
    expect(seen.map(([what]) => what)).toEqual(['alice', 'bob', 'alice', 'alice']);
    expect(time.pending()).toBe(0);
  });
});

describe('what holds the process up', () => {
  test('begins at once where nothing is due soon, and otherwise when that is over', () => {
    const { time, schedule } = inTime();
    const order: string[] = [];
    schedule.at(100, () => order.push('100'));
    schedule.inGap(() => order.push('at once'), 0);
    time.pass(50);
    schedule.inGap(() => order.push('in the gap'), 50);
    schedule.at(130, () => order.push('130'));
    time.pass(500);
    expect(order).toEqual(['at once', '100', '130', 'in the gap']);
  });

  test('waits for what is due and takes its time as well', () => {
    const { time, schedule } = inTime();
    const order: string[] = [];
    for (const name of ['first', 'second']) schedule.at(10, () => order.push(name), 'alice');
    schedule.inGap(() => order.push('in the gap'), 0);
    schedule.at(10, () => schedule.inGap(() => order.push('asked for later'), 10));
    time.pass(500);
    expect(order).toEqual(['first', 'second', 'in the gap', 'asked for later']);
  });

  test('is asked again after each: the first may have used the gap up', () => {
    const { time, schedule } = inTime();
    const order: string[] = [];
    schedule.at(10, () => order.push('10'));
    schedule.at(100, () => order.push('100'));
    for (const name of ['first', 'second']) {
      schedule.inGap(() => {
        order.push(name);
        time.pass(40);
      }, 0);
    }
    time.pass(500);
    expect(order).toEqual(['10', 'first', '100', 'second']);
  });

  test('two that have waited for too long are not run one right after the other', () => {
    const { time, schedule } = inTime();
    const order: string[] = [];
    for (let due = 10; due < 600; due += 20) schedule.at(due, () => order.push('due'));
    for (const name of ['first', 'second']) schedule.inGap(() => order.push(name), 0);
    time.pass(2_000);
    const [first, second] = [order.indexOf('first'), order.indexOf('second')];
    expect(first).toBeGreaterThan(12);
    expect(order.slice(first + 1, second)).toContain('due');
  });

  test('no two of them go one right after the other, however often it is asked', () => {
    const { time, schedule } = inTime();
    const order: string[] = [];
    for (let due = 10; due < 3_000; due += 20) {
      schedule.at(due, () => {
        order.push('due');
        for (const since of [due, due]) schedule.inGap(() => order.push('gap'), since - 1_500);
      });
      schedule.at(due, () => {}, 'alice');
    }
    time.pass(2_990);
    expect(order.filter((what) => what === 'gap').length).toBeGreaterThan(50);
    expect(order.some((what, n) => what === 'gap' && order[n + 1] === 'gap')).toBe(false);
  });

  test('an answer that is decided has its moment, once it is sealed, before another call’s jails are replaced', async () => {
    let now = 0;
    const turns: (() => void)[] = [];
    const schedule = createSchedule({
      now: () => now,
      timers: () => () => {},
      coarseMs: 1_000,
      immediate: (run) => turns.push(run),
      nap() {},
    });
    const order: string[] = [];
    schedule.at(10, () => void sealing(1).then(() => schedule.inGap(() => order.push('started'), 10)));
    schedule.at(8, () => void sealing(5).then(() => schedule.at(14, () => order.push('left'))), 'bob');
    // Held up until both are due.
    for (now = 12; now < 100; now += 0.5) {
      for (const run of turns.splice(0)) run();
      await new Promise(setImmediate);
    }
    expect(order).toEqual(['left', 'started']);
  });

  test.each([
    ['takes a short gap after 150 milliseconds', 47, 150, 200],
    ['takes a shorter one after 300', 20, 300, 325],
    ['waits for a second at most', 4, 1_000, 1_010],
  ])('%s: a party that keeps answers due cannot keep others’ jails from being replaced', (_, every, least, most) => {
    const { time, schedule } = inTime();
    const left: number[] = [];
    const sealed: number[] = [];
    for (let due = 10; due < 5_000; due += every) {
      for (const party of ['alice', 'bob']) {
        schedule.at(due - MARGIN_MS, () => sealed.push(due), party);
        schedule.at(due, () => left.push(due));
      }
    }
    let at = 0;
    let waiting = 0;
    schedule.inGap(() => {
      at = schedule.now();
      waiting = sealed.length - left.length;
    }, 0);
    time.pass(10_000);
    expect(at).toBeGreaterThanOrEqual(least);
    expect(at).toBeLessThan(most);
    if (every > 5) expect(waiting).toBe(0);
  });

  test('that was wanted first comes first, whenever it is asked for', () => {
    const { time, schedule } = inTime();
    const order: string[] = [];
    time.pass(1_000);
    for (let due = 1_010; due < 1_500; due += 47) schedule.at(due, () => {});
    schedule.inGap(() => order.push('wanted later'), 990);
    schedule.inGap(() => order.push('wanted sooner'), 800);
    expect(order).toEqual([]);
    time.pass(60);
    expect(order).toEqual(['wanted sooner']);
    time.pass(200);
    expect(order).toEqual(['wanted sooner', 'wanted later']);
  });
});
