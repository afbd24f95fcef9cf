/** The search itself: it finds each kind of fault, keeps the input, goes on, and ends when told. */
import { beforeAll, expect, test } from 'vitest';
import { bundled } from '../orchestrator/bundled.ts';
import { supervise } from './supervise.ts';
import type { Campaign } from './supervise.ts';
import { summaryOf } from './summary.ts';

let program: string;
beforeAll(async () => {
  program = await bundled('test/fuzz/planted.ts');
});

const search = (target: string, more: object = {}): Promise<Campaign> =>
  supervise({ program, target, seed: 1, runs: 300, hangMs: 2_000, ...more });

test.each([
  ['type', 'uncoded'],
  ['undeclared', 'uncoded'],
  ['rejection', 'uncoded'],
  ['memory', 'memory'],
  ['slow', 'slow'],
])('finds a planted fault: %s', async (target, kind) => {
  const { findings } = await search(target, { runs: 20 });
  expect(findings[0]).toMatchObject({ kind });
  expect(findings[0]?.input[0]).toBe(0x61);
  const { verdict } = await search(target, { replay: findings[0]?.input });
  expect(verdict?.is).toBe('finding');
});

test.each([
  ['hang', 'hang'],
  ['waits', 'hang'],
  ['abort', 'crash'],
])('names the input after which nothing came: %s', async (target, kind) => {
  const { findings } = await search(target);
  expect(findings.length).toBeGreaterThan(1); // it was started again
  for (const finding of findings) {
    expect(finding.kind).toBe(kind);
    expect(finding.input[0]).toBe(0x61);
  }
});

test('finds nothing where nothing is wrong, and counts what came out', async () => {
  const campaign = await search('sound');
  expect(campaign.findings).toEqual([]);
  expect(campaign.executions).toBe(300);
  expect([...campaign.outcomes.values()].reduce((sum, times) => sum + times, 0)).toBe(300);
  expect(summaryOf('sound', campaign)).toContain('nothing found');
});

test('ends when told, with what it has counted', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 8_000);
  const { executions, outcomes } = await search('sound', { runs: undefined, signal: controller.signal });
  expect(executions).toBeGreaterThan(0);
  expect(outcomes.get('planted/refused')).toBeGreaterThan(0);
});
