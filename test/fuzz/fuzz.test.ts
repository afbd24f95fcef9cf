/** Every target for a moment, and every input that found something once: `npm run fuzz` is for longer. */
import { describe, expect, test } from 'vitest';
import { corpusOf, foundInputs } from './corpus.ts';
import { explore } from './explore.ts';
import type { Finding, Outcomes } from './explore.ts';
import { DEFAULTS, judge } from './judge.ts';
import { TARGET_NAMES, openTarget } from './targets.ts';
import type { TargetName } from './targets.ts';

/** Those that go through a process, a socket or a database. */
const SLOW: readonly TargetName[] = ['picture', 'kms', 's3', 'api', 'attestation', 'tar'];
const SEED = 20_260_601;

describe.each(TARGET_NAMES)('%s', (name) => {
  test('is begun from inputs that are taken', async () => {
    const target = await openTarget(name);
    try {
      for (const [index, seed] of target.seeds.entries()) {
        const verdict = await judge({ ...target, limitMs: 30_000 }, seed);
        if (verdict.is === 'refused') expect(target.refusedSeeds ?? [], `seed ${index}`).toContain(verdict.code);
        else expect(verdict, `seed ${index}`).toMatchObject({ is: 'taken' });
      }
    } finally {
      await target.close?.();
    }
  }, 60_000);

  test('gives a value or a declared code for every input', async () => {
    const target = await openTarget(name);
    try {
      const findings: Finding[] = [];
      const outcomes: Outcomes = new Map();
      const runs = SLOW.includes(name) ? 80 : 400;
      await explore(
        // Other tests run beside this one: how long one input takes is for `npm run fuzz` to say.
        { ...target, limitMs: 30_000 },
        {
          seed: SEED,
          corpus: corpusOf(name, target.maxBytes ?? DEFAULTS.maxBytes),
          proceed: (executions) => executions < runs,
          before: () => {},
          found: (finding) => void findings.push(finding),
        },
        outcomes,
      );
      expect(findings).toEqual([]);
      // What never takes anything, or never refuses, does not test a reader.
      expect([...outcomes.keys()].some((outcome) => outcome.startsWith('taken '))).toBe(true);
      expect(outcomes.size).toBeGreaterThan(1);
      for (const { file, bytes } of foundInputs(name)) {
        expect((await judge({ ...target, limitMs: 30_000 }, bytes)).is, file).not.toBe('finding');
      }
    } finally {
      await target.close?.();
    }
  }, 180_000);
});
