/** `explain` and `diff`: whatever holds is said, and nothing that does not hold. */
import { describe, expect, test } from 'vitest';
import { diffPolicies } from '../../policies/diff.ts';
import { explain } from '../../policies/explain.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { LocalTrust, Policy } from '../../policies/model.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { ALICE, BOB, GOOD, written } from './written.ts';

const policy = (text: string): Policy => loadPolicy(text, { file: 'policy.yaml' });
const section = (text: string, heading: string): string =>
  explain(policy(text))
    .sections.find((one) => one.heading === heading)
    ?.sentences.join('\n') ?? '';

describe('explain', () => {
  test('says who may call how often, and what each learns', () => {
    expect(section(GOOD, 'alice')).toMatch(/alice may call classify 3 times\./);
    expect(section(GOOD, 'alice')).toMatch(/learns 1 label with its score, and of the weights of bob only what/);
    expect(section(GOOD, 'bob')).toMatch(/bob may call classify twice\./);
    expect(section(GOOD, 'bob')).toMatch(/bob contributes a model for classify\. Nobody else sees its weights/);
    expect(section(GOOD, 'bob')).toMatch(/bob learns how often alice called classify, but neither inputs nor answers/);
  });

  test('does not say that somebody learns of calls which nobody may make', () => {
    const own = written('      alice: 3\n', '');
    expect(section(own, 'alice')).toMatch(/alice may not call classify\./);
    expect(section(own, 'bob')).not.toMatch(/learns how often/);
  });

  test('names key, account and Region, and in the canonical form none of them but the Region', () => {
    expect(section(GOOD, 'alice')).toContain(
      'KMS key a11ce000-0000-4000-8000-000000000001 of account 111122223333 in eu-west-1',
    );
  });

  test('says what the host sees, and what depends on it', () => {
    const host = section(GOOD, 'Whoever runs the host');
    expect(host).toMatch(/sees no input, no weights and no answer/);
    expect(host).toMatch(/so do the quotas/);
  });
});

describe('weakenings', () => {
  const codes = (one: Policy, now?: Date): readonly string[] =>
    weakenings(one, now === undefined ? {} : { now }).map(({ code }) => code);
  const always = ['no-anchors', 'no-sealed-state', 'no-release-time'];

  test('what this version does not do yet is always among them', () => {
    const pinned = written('model: bob', `model: { from: bob, sha256: ${'a'.repeat(64)} }`);
    expect(codes(policy(pinned))).toEqual(always);
  });

  const trust: LocalTrust = {
    attestationRoot: '1'.repeat(64),
    tlsRoots: ['2'.repeat(64)],
    endpoints: {
      kms: 'https://kms.{region}.accord.test',
      sts: 'https://sts.{region}.accord.test',
      s3: 'https://s3.{region}.accord.test',
    },
  };
  test.each([
    ['local-trust', { ...policy(GOOD), trust }],
    ['model-not-pinned', policy(GOOD)],
    ['fine-answers', policy(written('    calls:', '    output: { decimals: 5 }\n    calls:'))],
    ['many-calls', policy(written('alice: 3', 'alice: 10000'))],
    ['one-account', policy(written(BOB, ALICE.replace('a11ce', 'b11ce')))],
    ['half-a-core', policy(`${GOOD}enclave: { cpus: 1 }\n`)],
  ] as const)('%s', (code, weak) => {
    expect(codes(weak)).toContain(code);
    if (code !== 'model-not-pinned') expect(codes(policy(GOOD))).not.toContain(code);
  });

  test('one party alone', () => {
    const alone = GOOD.replace(/ {2}alice:\n.*\n.*\n/, '').replace('      alice: 3\n', '');
    expect(codes(policy(alone))).toContain('one-party');
  });

  test('a last day that has passed, from the moment after it', () => {
    expect(codes(policy(GOOD), new Date('2027-06-30T23:59:59.999Z'))).not.toContain('expired');
    expect(codes(policy(GOOD), new Date('2027-07-01T00:00:00.000Z'))).toContain('expired');
  });
});

describe('diff', () => {
  const diff = (other: string): ReturnType<typeof diffPolicies> => diffPolicies(policy(GOOD), policy(other));
  const said = (other: string, party: string): string => (diff(other).parties[party] ?? []).join('\n');

  test('nothing', () => {
    const same = diff(`# a remark\n${GOOD}`);
    expect(same).toMatchObject({ same: true, changes: [], parties: {} });
    expect(same.everyone.join()).toMatch(/Nothing changes/);
  });

  test('a quota: other measurements for all, more answers for the owner of the weights', () => {
    const more = written('alice: 3', 'alice: 5');
    expect(diff(more).changes).toEqual([{ path: 'functions.classify.calls.alice', before: '3', after: '5' }]);
    expect(diff(more).everyone.join('\n')).toMatch(/PCR0 and PCR2 change/);
    expect(said(more, 'alice')).toMatch(/alice may call classify 5 times instead of 3 times\./);
    expect(said(more, 'bob')).toMatch(/2 more answers computed with bob's weights/);
  });

  test('a key: whose is it?', () => {
    const other = written(ALICE, ALICE.replace('a11ce', 'e5e5e'));
    expect(said(other, 'alice')).toMatch(/another KMS key.*is it alice's own\?/);
    expect(said(other, 'bob')).not.toMatch(/another KMS key/);
  });

  test('a party that joins, and one that leaves', () => {
    const joined = GOOD.replace(
      'functions:',
      `  carol:\n    role: coordinator\n    kmsKeyArn: ${BOB.replace('4444', '7777')}\nfunctions:`,
    );
    expect(said(joined, 'carol')).toMatch(/carol joins as coordinator\./);
    expect(said(joined, 'alice')).toMatch(/alice now computes together with carol\./);
    const left = diffPolicies(policy(joined), policy(GOOD));
    expect(left.parties['carol']?.join()).toMatch(/carol no longer takes part.*take its PCR0 out/);
  });

  test('finer answers are said to the owner of the weights', () => {
    const finer = written('    calls:', '    output: { decimals: 4 }\n    calls:');
    expect(said(finer, 'bob')).toMatch(/Each answer tells more about bob's weights/);
    expect(said(finer, 'alice')).not.toMatch(/tells more/);
    expect(diff(finer).everyone.join('\n')).toMatch(/New weakening: classify: 4 decimals/);
  });
});
