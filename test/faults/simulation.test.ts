import { describe, expect, test } from 'vitest';
import { seek } from './seek.ts';
import { run } from './simulation/run.ts';
import { WEAKENINGS } from './weakened.ts';

/** Needs more runs than a test has time for; `npm run faults -- --weakened` has it. */
const RARE: ReadonlySet<string> = new Set(['entries-without-key']);

describe('a simulated run', () => {
  test('is a function of its seed: the same trace, line by line', async () => {
    for (const seed of [3, 5, 11]) {
      const traces: string[][] = [[], []];
      for (const trace of traces) await run(seed, { print: (line) => trace.push(line) });
      expect(traces[0]?.length).toBeGreaterThan(20);
      expect(traces[0]).toEqual(traces[1]);
    }
  });

  test('breaks no promise, whatever happens in it', async () => {
    const violations: unknown[] = [];
    let answers = 0;
    for (let seed = 700_000; seed < 700_060; seed += 1) {
      const result = await run(seed);
      answers += result.answers;
      violations.push(...result.violations.map((violation) => ({ seed, ...violation })));
    }
    expect(violations).toEqual([]);
    expect(answers).toBeGreaterThan(100);
  });
});

describe('with a rule switched off', () => {
  test.for(WEAKENINGS.filter(({ name }) => !RARE.has(name)))('$name is found out', async ({ name }) => {
    const { violations } = await seek({ firstSeed: 1, runs: 50, rule: name, off: true });
    expect(violations).not.toEqual([]);
  });
});
