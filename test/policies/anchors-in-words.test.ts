/** What `check`, `explain` and `diff` say of anchors, state, succession and information. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { canonicalPolicyText, parseCanonicalPolicy, toCanonicalPolicy } from '../../policies/canonical.ts';
import { diffPolicies, type PolicyDiff } from '../../policies/diff.ts';
import { parsePolicyDigest, policyDigest } from '../../policies/digest.ts';
import { explain } from '../../policies/explain.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { Policy } from '../../policies/model.ts';
import { weakenings, type WeakeningCode } from '../../policies/weakenings.ts';
import { accord, BOB, DURABLE, GOOD, LOCAL_TRUST, WITH_CAROL, written } from './written.ts';

const policy = (text: string): Policy => loadPolicy(text, { file: 'policy.yaml' });
const durable = (part: string, other: string): string => written(part, other, DURABLE);
const THREE: string = DURABLE.replace('functions:', WITH_CAROL)
  .replace('  quorum', '  carol: { s3: "s3://carol-anchor" }\n  quorum')
  .replace('[bob, alice]', '[bob, alice, carol]');
const owner = (text: string): string => text.replace('role: coordinator', 'role: data-owner');

describe('weakenings', () => {
  const ofAnchors: ReadonlySet<WeakeningCode> = new Set<WeakeningCode>([
    'no-anchors',
    'no-sealed-state',
    'weak-quorum',
    'coordinator-anchor',
    'folder-anchor',
    'anchors-together',
    'threshold-seal',
  ]);
  const found = (text: string): Readonly<Record<string, string>> =>
    Object.fromEntries(
      weakenings(policy(text))
        .filter(({ code }) => ofAnchors.has(code))
        .map((one) => [one.code, one.text]),
    );

  test('two anchors of two parties, both of which must hold, and layers of all: none', () => {
    expect(found(DURABLE)).toEqual({});
    expect(Object.keys(found(GOOD))).toEqual(['no-anchors', 'no-sealed-state']);
  });

  test('all of three anchors: none; two of them: whoever owns one', () => {
    const all = owner(THREE).replace('quorum: 2', 'quorum: 3');
    expect(found(all)).toEqual({});
    const two = found(owner(THREE));
    expect(Object.keys(two)).toEqual(['weak-quorum']);
    expect(two['weak-quorum']).toMatch(
      /2 of 3 anchors: any one of bob, alice and carol, together with whoever runs the host/,
    );
  });

  test('three of four leaves room for one', () => {
    const dave = owner(THREE)
      .replace(
        'functions:',
        `  dave:\n    role: data-owner\n    kmsKeyArn: ${BOB.replace('4444', '1234').replace('b0b', 'dade')}\nfunctions:`.replace(
          'dade00000',
          'dad00000',
        ),
      )
      .replace('  quorum: 2', '  dave: { s3: "s3://dave-anchor" }\n  quorum: 3')
      .replace('carol]', 'carol, dave]');
    expect(found(dave)).toEqual({});
  });

  test('one anchor alone', () => {
    const one = durable('  bob: { s3: "s3://bob-anchor", region: eu-north-1 }\n', '').replace('quorum: 2', 'quorum: 1');
    expect(found(one)['weak-quorum']).toMatch(/One anchor: alice, together with whoever runs the host/);
  });

  test('the anchor of who runs the collaboration', () => {
    const all = THREE.replace('quorum: 2', 'quorum: 3');
    expect(Object.keys(found(all))).toEqual(['coordinator-anchor']);
    expect(found(all)['coordinator-anchor']).toMatch(/carol .*protects from nobody .*: 2 more owners are needed/);
    expect(found(THREE)['coordinator-anchor']).toMatch(/nobody else is needed/);
  });

  test('anchors in one account, and in one bucket', () => {
    const account = durable(BOB, BOB.replace('444455556666', '111122223333'));
    expect(found(account)['anchors-together']).toMatch(
      /bob and alice are in one account 111122223333.*whoever runs the host can/,
    );
    const bucket = durable('s3://bob-anchor', 's3://alice-anchor/bob');
    expect(found(bucket)['anchors-together']).toMatch(/in one bucket alice-anchor/);
    const some = owner(THREE).replace('quorum: 2', 'quorum: 3').replace('s3://carol-anchor', 's3://alice-anchor/carol');
    expect(found(some)['anchors-together']).toMatch(/count as one owner/);
  });

  test('folders on the host', () => {
    const trial = durable('s3: "s3://alice-anchor"', 'folder: /a') + LOCAL_TRUST;
    expect(found(trial)['folder-anchor']).toMatch(
      /anchor of alice is a folder on the host, whose owner can change it\. For trying/,
    );
    const both = trial.replace('s3: "s3://bob-anchor", region: eu-north-1', 'folder: /b');
    expect(found(both)['folder-anchor']).toMatch(/bob and alice are folders.*and so undo spent calls/);
  });

  test('a threshold below all', () => {
    expect(found(durable('layered', '{ threshold: 2 }'))).toEqual({});
    expect(found(durable('layered', '{ threshold: 1 }'))['threshold-seal']).toMatch(
      /any one of bob and alice, together with/,
    );
    const two = found(THREE.replace('layered', '{ threshold: 2 }'));
    expect(two['threshold-seal']).toMatch(/any 2 of bob, alice and carol.*as long as 2 others are there/);
  });

  test('the canonical form says the same but for accounts, which it does not know', async () => {
    const text = THREE.replace('layered', '{ threshold: 2 }').replace('s3://carol-anchor', 's3://alice-anchor/carol');
    const canonical = parseCanonicalPolicy(canonicalPolicyText(await toCanonicalPolicy(policy(text))));
    expect(weakenings(canonical)).toEqual(weakenings(policy(text)));
  });
});

describe('explain', () => {
  const said = (text: string, heading: string): string =>
    explain(policy(text))
      .sections.find((one) => one.heading === heading)
      ?.sentences.join('\n') ?? '';

  test('what outlives the enclave', () => {
    expect(said(GOOD, 'What outlives the enclave')).toMatch(/^Nothing: /);
    const all = said(DURABLE, 'What outlives the enclave');
    expect(all).toMatch(
      /in this order: bob's \(s3:\/\/bob-anchor\/accord\/ in eu-north-1\) and alice's \(s3:\/\/alice-anchor\/accord\/ in eu-west-1\)/,
    );
    expect(all).toMatch(/all 2 anchors hold it/);
    expect(all).toMatch(/as long as one owner of an anchor does not collude/);
    expect(all).toMatch(/each of alice and bob is needed/);
    expect(said(owner(THREE), 'What outlives the enclave')).toMatch(/as long as no owner of an anchor colludes/);
    expect(said(THREE.replace('layered', '{ threshold: 2 }'), 'What outlives the enclave')).toMatch(
      /any 2 of the 3 parties are enough/,
    );
  });

  test('a succession, and what it does with the calls that were spent', () => {
    const succeeding = (calls: string): string =>
      said(`${DURABLE}succeeds: { policyDigest: ${'ab'.repeat(48)}, calls: ${calls} }\n`, 'What outlives the enclave');
    expect(succeeding('carried')).toMatch(/closed first.*spent under it count here\./);
    expect(succeeding('fresh')).toMatch(/do not count here/);
  });

  test('what the owner of an anchor learns', () => {
    expect(said(DURABLE, 'alice')).toMatch(/alice's anchor .* shows alice that calls are made, by whom/);
    expect(said(GOOD, 'alice')).not.toMatch(/anchor/);
  });

  test('what the host sees, and what it can waste', () => {
    const host = said(DURABLE, 'Whoever runs the host');
    expect(host).toMatch(/traffic to S3 in eu-north-1 and eu-west-1/);
    expect(host).not.toMatch(/waste|so do the quotas/);
    expect(said(THREE, 'Whoever runs the host')).toMatch(/waste tickets/);
    const trial = durable('s3: "s3://alice-anchor"', 'folder: /a') + LOCAL_TRUST;
    expect(said(trial, 'Whoever runs the host')).toMatch(/folders of alice and can change them/);
  });

  test('what answers can carry, in words and as JSON', async () => {
    const bounded = written('    calls:', '    answerBits: 40\n    output: { labels: 7 }\n    calls:');
    expect(said(bounded, 'What answers can carry')).toMatch(
      /one call of classify carries at most 9\.54 bits; alice's 3 calls together/,
    );
    expect(said(bounded, 'What answers can carry')).toMatch(/a bound of 40 bits for each party/);
    expect(said(GOOD, 'What answers can carry')).toMatch(/No bound is agreed/);
    const { code, out } = await accord(['explain', '-', '--json'], bounded);
    expect(code).toBe(0);
    expect(JSON.parse(out).information).toEqual({
      classify: {
        bitsPerCall: 9.54,
        answerBits: 40,
        parties: { alice: { calls: 3, bits: 28.63 }, bob: { calls: 2, bits: 19.09 } },
      },
    });
  });

  test('a counter', () => {
    const counter = written('image-classification\n    model: bob', 'counter');
    expect(said(counter, 'alice')).toMatch(/alice may call classify 3 times\. .* how many calls were counted/);
    expect(said(counter, 'bob')).not.toMatch(/contributes/);
    expect(weakenings(policy(counter)).map(({ code }) => code)).not.toContain('model-not-pinned');
  });
});

describe('diff', () => {
  const diff = (before: string, after: string): PolicyDiff => diffPolicies(policy(before), policy(after));
  const everyone = (before: string, after: string): string => diff(before, after).everyone.join('\n');
  const canonicalOf = async (text: string): Promise<string> =>
    canonicalPolicyText(await toCanonicalPolicy(policy(text)));
  const digestOf = async (text: string): Promise<string> => policyDigest(await canonicalOf(text));
  const after = (digest: string, calls: string): string =>
    `${DURABLE}succeeds: { policyDigest: ${digest}, calls: ${calls} }\n`;

  test('anchors and state that come, and that go', () => {
    expect(everyone(GOOD, DURABLE)).toMatch(/now written down in anchors of bob and alice/);
    expect(everyone(GOOD, DURABLE)).toMatch(/State now outlives the enclave/);
    expect(everyone(GOOD, DURABLE)).toMatch(/No longer a weakening: No anchors/);
    expect(everyone(DURABLE, GOOD)).toMatch(/no longer written down/);
    expect(everyone(DURABLE, GOOD)).toMatch(/Nothing outlives the enclave any more/);
    const { parties } = diff(GOOD, DURABLE);
    expect(parties['alice']?.join()).toMatch(
      /alice keeps an anchor now, in s3:\/\/alice-anchor\/accord\/ in eu-west-1.*accord anchor/,
    );
    expect(diff(DURABLE, GOOD).parties['alice']?.join()).toMatch(/no longer keeps an anchor/);
  });

  test('quorum, order, seal and store', () => {
    expect(everyone(THREE, THREE.replace('quorum: 2', 'quorum: 3'))).toMatch(
      /all 3 anchors must hold an entry.*before it was 2 of 3/,
    );
    const order = everyone(DURABLE, durable('[bob, alice]', '[alice, bob]'));
    expect(order).toMatch(/asked in this order: alice and bob; before: bob and alice/);
    expect(order).toMatch(/another order \(alice and bob\); the same parties/);
    expect(everyone(THREE, THREE.replace('layered', '{ threshold: 2 }'))).toMatch(
      /any 2 of the 3 parties are enough; before: each of/,
    );
    const moved = diff(DURABLE, durable('s3://alice-anchor', 's3://other-anchor'));
    expect(moved.parties['alice']?.join()).toMatch(/now in s3:\/\/other-anchor.* instead of s3:\/\/alice-anchor/);
    expect(moved.parties['bob']?.join()).not.toMatch(/other-anchor/);
  });

  test('tickets are fresh unless it succeeds', async () => {
    expect(everyone(DURABLE, durable('alice: 3', 'alice: 4'))).toMatch(
      /none that was spent .* nothing that the old enclave kept/,
    );
    expect(everyone(GOOD, written('alice: 3', 'alice: 4'))).not.toMatch(/the old enclave kept/);
    const digest = await digestOf(DURABLE);
    const beforeDigest = parsePolicyDigest(digest);
    const told = (calls: string): string =>
      diffPolicies(policy(DURABLE), policy(after(digest, calls)), { beforeDigest }).everyone.join('\n');
    expect(told('carried')).toMatch(/takes the place of the old policy.*closes that one first/);
    expect(told('carried')).toMatch(/spent under the old policy count under the new one/);
    expect(told('fresh')).toMatch(/Calls begin anew/);
    const other = diffPolicies(policy(DURABLE), policy(after('ab'.repeat(48), 'carried')), { beforeDigest });
    expect(other.everyone.join()).toMatch(/takes the place of another one than this \(digest abab/);
    expect(everyone(DURABLE, after('ab'.repeat(48), 'carried'))).toMatch(/of the policy with digest ababababababab/);
  });

  test('a succession that cannot be is called so', async () => {
    const digest = await digestOf(THREE);
    const beforeDigest = parsePolicyDigest(digest);
    const next = `${THREE}succeeds: { policyDigest: ${digest}, calls: carried }\n`;
    const told = (text: string): string =>
      diffPolicies(policy(THREE), policy(text), { beforeDigest }).everyone.join('\n');
    expect(told(next)).not.toMatch(/not possible/);
    expect(told(next.replace('s3://alice-anchor', 's3://other'))).not.toMatch(/not possible/);
    const twoMoved = next.replace('s3://alice-anchor', 's3://other').replace('s3://bob-anchor', 's3://bob-anchor/x');
    expect(told(twoMoved)).toMatch(/not possible: of the old anchors, 2 must be .*; 1 is\./);
    expect(told(next.replace(BOB, BOB.replace('b0b', 'b1b')))).toMatch(/not possible: it needs bob with the same key/);
    const plain = parsePolicyDigest(await digestOf(GOOD));
    const sealed = diffPolicies(policy(GOOD), policy(after(plain, 'fresh')), { beforeDigest: plain });
    expect(sealed.everyone.join()).toMatch(/not possible: the old policy keeps no state/);
  });

  test.each([
    ['as it was written', (): string => DURABLE],
    ['as an image carries it', canonicalOf],
  ])('the verb knows the digest of what it compares, %s', async (_, form) => {
    const folder = await mkdtemp(join(tmpdir(), 'diff-'));
    const [old, next] = [join(folder, 'old.yaml'), join(folder, 'next.yaml')];
    await writeFile(old, await form(DURABLE));
    await writeFile(next, after(await digestOf(DURABLE), 'carried'));
    const { code, out } = await accord(['diff', '--json', old, next]);
    await rm(folder, { recursive: true });
    expect(code).toBe(0);
    expect(out).toMatch(/takes the place of the old policy/);
    expect(out).not.toMatch(/not possible|another KMS key/);
  });

  test('bounds on information', () => {
    const bounded = written('    calls:', '    answerBits: 40\n    output: { labels: 7 }\n    calls:');
    expect(diff(GOOD, bounded).parties['alice']?.join()).toMatch(
      /at most 7 labels instead of 1000.*at most 40 bits to each party \(not bounded before\)/,
    );
    expect(diff(bounded, GOOD).parties['bob']?.join()).toMatch(
      /Each answer tells more about bob's weights.*no longer bounded \(40 bits/,
    );
  });

  test('a model that becomes a counter, and one that a counter becomes', () => {
    const counter = written('image-classification\n    model: bob', 'counter');
    expect(diff(GOOD, counter).parties['bob']?.join()).toMatch(
      /now does something else: it counts.*bob's weights are not used/,
    );
    expect(diff(counter, GOOD).parties['bob']?.join()).toMatch(/names what a picture shows.*bob contributes its model/);
    expect(diff(counter, GOOD).parties['alice']?.join()).not.toMatch(/weights/);
  });
});
