/** An agreement is renewed for longer, or cut short: the old one's entries in buckets are locked for the old one's time. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { retainUntil } from '../../../enclave/claims/retention.ts';
import { createS3Anchor } from '../../../enclave/claims/s3-anchor.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Policy } from '../../../policies/model.ts';
import type { ScriptedS3 } from '../claims/scripted-s3.ts';
import { createScriptedS3 } from '../claims/scripted-s3.ts';
import type { TestGate } from '../harness.ts';
import { newRequestId } from '../harness.ts';
import { realTimers } from '../real-timers.ts';
import type { Surroundings } from './sealed.ts';
import { SEALED, sealCredential, surroundings } from './sealed.ts';

const PARTIES = ['alice', 'bob'] as const;
const stopping: Surroundings[] = [];
afterEach(async () => {
  for (const around of stopping.splice(0)) await around.stop();
});

const buckets = (): ReadonlyMap<string, ScriptedS3> => new Map(PARTIES.map((party) => [party, createScriptedS3()]));

/** As `main.ts` opens them: with the last day of the image's own policy. */
function anchorsOn(of: ReadonlyMap<string, ScriptedS3>, until: string): Map<string, Anchor> {
  const opened = [...of].map(([owner, s3]): [string, Anchor] => {
    const place = { owner, s3, place: `s3://${owner}/`, prefix: '', timers: realTimers };
    return [owner, createS3Anchor({ ...place, retainUntil: retainUntil(until) })];
  });
  return new Map(opened);
}

async function counted(gate: TestGate): Promise<unknown> {
  const alice = await gate.peer('alice');
  await gate.peer('bob');
  const answer = await alice.call('count', newRequestId(), new Uint8Array(1));
  return answer !== 'closed' && answer.t === 'answer' ? JSON.parse(answer.output).count : answer;
}

describe.each([
  ['later', '2028-06-30'],
  ['earlier', '2027-01-31'],
])('a successor that ends %s', (_, until) => {
  test('goes on with what stands in the buckets, and closes it for as long as the old one could run', async () => {
    const s3 = buckets();
    const old = await surroundings();
    stopping.push(old);
    const text = canonicalPolicyText(await toCanonicalPolicy(SEALED));
    const oldDigest = await policyDigest(text);
    old.storage.policies.set(oldDigest, text);
    expect(await counted(await old.start({ anchors: anchorsOn(s3, SEALED.until) }))).toBe(1);
    await old.stop();

    const next: Policy = { ...SEALED, until, succeeds: { policyDigest: oldDigest, calls: 'carried' } };
    const digest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(next)));
    for (const party of PARTIES) {
      const keyArn = next.parties[party]?.kmsKeyArn ?? '';
      const context = anchorContext({ policyDigest: digest, party });
      old.storage.blobs.set(`anchor.${party}`, await sealCredential(old.kms, keyArn, context));
    }
    old.storage.keySet = undefined;
    const after = await old.start({ policy: next, anchors: anchorsOn(s3, until) });
    expect(await counted(after)).toBe(2);

    for (const { store } of s3.values()) {
      for (const [key, versions] of store) {
        const end = retainUntil(key.includes(oldDigest) ? SEALED.until : until);
        expect(versions.map(({ lock }) => lock?.retainUntil)).toEqual([end]);
      }
    }
  });
});
