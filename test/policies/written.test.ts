import { describe, expect, it } from 'vitest';
import { loadPolicy } from '../../policies/load.ts';
import type { Policy } from '../../policies/model.ts';
import { writtenPolicy } from '../../policies/written.ts';
import { policyText as plainPolicy } from '../orchestrator/harness.ts';

/** The usual policy with these parts in place of its own. */
function load(parts: Readonly<Record<string, unknown>>): Policy {
  const trust = {
    attestationRoot: 'a'.repeat(64),
    tlsRoots: ['b'.repeat(64)],
    endpoints: {
      kms: 'https://kms.{region}.accord.test',
      sts: 'https://sts.{region}.accord.test',
      s3: 'https://s3.{region}.accord.test',
    },
  };
  const written: Readonly<Record<string, unknown>> = JSON.parse(plainPolicy(trust));
  return loadPolicy(JSON.stringify({ ...written, ...parts }), { file: 'policy' });
}

describe('a policy that was written out', () => {
  const sealed = { state: { seal: 'layered' } };

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['without anchors', {}],
    [
      'with buckets',
      {
        ...sealed,
        anchors: { alice: { s3: 's3://alice-a' }, bob: { s3: 's3://bob-a/deep/er', region: 'eu-north-1' } },
      },
    ],
    ['with a whole bucket', { ...sealed, anchors: { alice: { s3: 's3://alice-a/' } } }],
    [
      'with folders, of which some suffice',
      { ...sealed, anchors: { alice: { folder: '/a' }, bob: { folder: '/b' }, quorum: 2 } },
    ],
    [
      'with an order, shares and a predecessor',
      {
        state: { seal: { threshold: 1 }, order: ['bob', 'alice'] },
        anchors: { alice: { s3: 's3://alice-a' }, bob: { s3: 's3://bob-a' } },
        succeeds: { policyDigest: 'c'.repeat(96), calls: 'fresh' },
      },
    ],
  ])('is the same policy: %s', (_, parts) => {
    const policy = load(parts);
    expect(loadPolicy(writtenPolicy(policy), { file: 'again' })).toEqual(policy);
  });
});
