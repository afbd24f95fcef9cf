/** A policy of several files: each party's part in a file of its own, and none overrules another. */
import { describe, expect, test } from 'vitest';
import { canonicalPolicyText, toCanonicalPolicy } from '../../policies/canonical.ts';
import { PolicyFailure, type Fault } from '../../policies/fault.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { Policy } from '../../policies/model.ts';
import { ALICE, BOB, DURABLE, GOOD, written } from './written.ts';

const HEAD = 'apiVersion: accord/v1\ncollaboration: skin\n';
const composed = (base: string, ...parts: readonly string[]): Policy =>
  loadPolicy(base, { file: 'base.yaml', compose: parts.map((text, index) => ({ file: `part${index}.yaml`, text })) });

function faultsOf(base: string, ...parts: readonly string[]): readonly Fault[] {
  try {
    composed(base, ...parts);
    return [];
  } catch (error) {
    if (error instanceof PolicyFailure) return error.faults;
    throw error;
  }
}

describe('files that say different things', () => {
  test('are one policy, whoever wrote which key', async () => {
    const base = `${HEAD}until: 2027-06-30\nfunctions:\n  classify: { uses: image-classification, model: bob, calls: { alice: 3 } }\n`;
    const alice = `${HEAD}parties: { alice: { role: data-owner, kmsKeyArn: "${ALICE}" } }\nanchors: none\n`;
    const bob = `parties: { bob: { role: model-owner, kmsKeyArn: "${BOB}" } }\nfunctions: { classify: { calls: { bob: 2 } } }\n`;
    const text = async (policy: Policy): Promise<string> => canonicalPolicyText(await toCanonicalPolicy(policy));
    const whole = await text(loadPolicy(GOOD, { file: 'policy.yaml' }));
    expect(await text(composed(base, alice, bob))).toBe(whole);
    expect(await text(composed(base, bob, alice))).toBe(whole);
  });

  test('take durability from a part of its own', () => {
    const durable = DURABLE.slice(DURABLE.indexOf('anchors:'));
    expect(composed(written('anchors: none\n', ''), durable).anchors).not.toBe('none');
  });
});

describe('what stands in two files is a fault, of the second', () => {
  const twice = (path: string, file = 'part0.yaml'): object => ({
    code: 'policy/defined-twice',
    path,
    file,
    message: expect.stringMatching(/^base\.yaml already says this, in line \d+$/),
  });

  test.each([
    ['a quota', 'functions: { classify: { calls: { alice: 4 } } }', 'functions.classify.calls.alice'],
    ['the same quota', 'functions: { classify: { calls: { alice: 3 } } }', 'functions.classify.calls.alice'],
    ['a key', `parties: { bob: { kmsKeyArn: "${BOB}" } }`, 'parties.bob.kmsKeyArn'],
    ['the last day', 'until: 2028-01-01', 'until'],
    ['another collaboration', 'collaboration: other', 'collaboration'],
    ['another version', 'apiVersion: accord/v2', 'apiVersion'],
    ['a map where a value stands', 'anchors: { alice: { s3: "s3://alice-anchor" } }', 'anchors'],
    ['a value where a map stands', 'functions: none', 'functions'],
    ['a list where a map stands', 'parties: [alice]', 'parties'],
  ])('%s', (_, part, path) => {
    expect(faultsOf(GOOD, `${part}\n`)).toEqual([expect.objectContaining(twice(path))]);
  });

  test('in whichever part, and all of them at once', () => {
    const faults = faultsOf(GOOD, 'until: 2028-01-01\n', 'until: 2029-01-01\nanchors: none\n');
    expect(faults.map(({ file, path }) => `${file} ${path}`).sort()).toEqual([
      'part0.yaml until',
      'part1.yaml anchors',
      'part1.yaml until',
    ]);
  });

  test('only at the top may files agree: a party may be called collaboration', () => {
    const party = `parties:\n  collaboration: { role: data-owner, kmsKeyArn: "${ALICE}" }\n`;
    const base = written(`  alice:\n    role: data-owner\n    kmsKeyArn: ${ALICE}\n`, `  collaboration: same\n`);
    for (const part of [party, 'parties: { collaboration: same }\n']) {
      expect(faultsOf(base, part)).toContainEqual(expect.objectContaining(twice('parties.collaboration')));
    }
  });

  test('a part that is no map says so', () => {
    expect(faultsOf(GOOD, 'policy\n')[0]).toMatchObject({ code: 'policy/defined-twice', file: 'part0.yaml' });
  });
});

test('a part that cannot be read is told with what else is wrong, under its own name', () => {
  expect(faultsOf(GOOD, 'until: "2027\n', 'quotas: 3\n')[0]).toMatchObject({
    code: 'policy/syntax',
    file: 'part0.yaml',
  });
});
