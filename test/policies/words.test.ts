/** `explain` and `diff`: whatever holds is said, and nothing that does not hold. */
import { describe, expect, test } from 'vitest';
import { toCanonicalPolicy } from '../../policies/canonical.ts';
import { diffPolicies } from '../../policies/diff.ts';
import { explain } from '../../policies/explain.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { LocalTrust, Policy, Trust } from '../../policies/model.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { ALICE, BOB, DURABLE, GOOD, written } from './written.ts';

const policy = (text: string): Policy => loadPolicy(text, { file: 'policy.yaml' });
const section = (text: string, heading: string): string =>
  explain(policy(text))
    .sections.find((one) => one.heading === heading)
    ?.sentences.join('\n') ?? '';

const TRUST: LocalTrust = {
  attestationRoot: '1'.repeat(64),
  tlsRoots: ['2'.repeat(64)],
  endpoints: {
    kms: 'https://kms.{region}.accord.test',
    sts: 'https://sts.{region}.accord.test',
    s3: 'https://s3.{region}.accord.test',
  },
};

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

  test('gives whole hashes: of half of one, two models can be made that share it', () => {
    const sha256 = 'ab'.repeat(32);
    const pinned = written('model: bob', `model: { from: bob, sha256: ${sha256} }`);
    expect(section(pinned, 'bob')).toContain(`the model with SHA-256 ${sha256} for classify`);
    const digest = 'cd'.repeat(48);
    const succeeding = `${DURABLE}succeeds: { policyDigest: ${digest}, calls: carried }\n`;
    expect(section(succeeding, 'What outlives the enclave')).toContain(`the policy with digest ${digest} and takes`);
  });

  test('and whole hashes of keys in the canonical form', async () => {
    const canonical = await toCanonicalPolicy(policy(GOOD));
    const hash = canonical.parties['alice']?.kmsKey.arnHash ?? 'none';
    expect(explain(canonical).sentences.join('\n')).toContain(`whose ARN hashes to ${hash}:`);
  });

  test('names every root and every endpoint of a local trust', () => {
    const roots = ['2'.repeat(64), '3'.repeat(64)];
    const local = explain({ ...policy(GOOD), trust: { ...TRUST, tlsRoots: roots } }).sentences.join('\n');
    expect(local).toContain(`Attestation ends at a local root (SHA-256 ${TRUST.attestationRoot})`);
    expect(local).toContain(`2 local roots (SHA-256 ${roots.join(' and ')})`);
    for (const url of Object.values(TRUST.endpoints)) expect(local).toContain(url);
    expect(section(GOOD, 'The agreement')).toMatch(/pinned root of AWS Nitro, and KMS, STS and S3 are those of AWS/);
  });

  test('says what every tree is padded to, and how much a counter takes', () => {
    const tree = written('image-classification', 'decision-tree\n    tree: { depth: 4, nodes: 31, features: 6 }');
    expect(section(tree, 'The agreement')).toContain('every tree is padded to depth 4, 31 nodes and 6 features');
    const counter = written('image-classification', 'counter').replace('    model: bob\n', '');
    expect(section(counter, 'The agreement')).toMatch(/classify takes at most 1 KiB, reads nothing of it/);
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

  test.each([
    ['local-trust', { ...policy(GOOD), trust: TRUST }],
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

  describe('trust', () => {
    const everyone = (was: Trust, is: Trust): string =>
      diffPolicies({ ...policy(GOOD), trust: was }, { ...policy(GOOD), trust: is }).everyone.join('\n');

    const endpoint = (service: 'kms' | 'sts' | 's3', name: string): readonly [string, Partial<LocalTrust>, string] => [
      service,
      { endpoints: { ...TRUST.endpoints, [service]: 'https://evil.test' } },
      `${name} is at https://evil.test instead of ${TRUST.endpoints[service]}.`,
    ];
    const [ones, twos, nines] = ['1'.repeat(64), '2'.repeat(64), '9'.repeat(64)] as const;
    test.each<readonly [string, Partial<LocalTrust>, string]>([
      ['attestationRoot', { attestationRoot: nines }, `root ${nines} instead of ${ones}`],
      ['tlsRoots', { tlsRoots: [twos, nines] }, `${twos} and ${nines} instead of ${twos}`],
      endpoint('kms', 'KMS'),
      endpoint('sts', 'STS'),
      endpoint('s3', 'S3'),
    ])('another %s is said to everyone, and nothing else', (_, change, words) => {
      const said = everyone(TRUST, { ...TRUST, ...change });
      expect(said).toContain(words);
      expect(said.match(/ instead of /g)).toHaveLength(1);
    });

    test('that becomes local, or no longer is, is said with its roots', () => {
      expect(everyone('aws', TRUST)).toMatch(
        /It was AWS's before\. Attestation ends at a local root \(SHA-256 1{64}\)/,
      );
      expect(everyone(TRUST, 'aws')).toMatch(/It was local before\. Attestation ends at the pinned root of AWS Nitro/);
      expect(everyone(TRUST, TRUST)).not.toMatch(/root/);
    });
  });

  test('whole hashes are given of a model that is pinned', () => {
    const pinned = written('model: bob', `model: { from: bob, sha256: ${'ab'.repeat(32)} }`);
    expect(said(pinned, 'alice')).toContain(`must have SHA-256 ${'ab'.repeat(32)}.`);
  });

  test('finer answers are said to the owner of the weights', () => {
    const finer = written('    calls:', '    output: { decimals: 4 }\n    calls:');
    expect(said(finer, 'bob')).toMatch(/Each answer tells more about bob's weights/);
    expect(said(finer, 'alice')).not.toMatch(/tells more/);
    expect(diff(finer).everyone.join('\n')).toMatch(/New weakening: classify: 4 decimals/);
  });
});
