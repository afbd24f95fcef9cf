import { describe, expect, it } from 'vitest';
import { addressOf } from '../../../orchestrator/relay/address.ts';
import { allowList, isAllowed } from '../../../orchestrator/relay/allow-list.ts';
import type { CanonicalPolicy, Trust } from '../../../policies/model.ts';

const LOCAL: Trust = {
  attestationRoot: 'a'.repeat(64),
  tlsRoots: ['b'.repeat(64)],
  endpoints: {
    kms: 'https://kms.{region}.accord.test:8443',
    sts: 'https://sts.{region}.accord.test',
    s3: 'https://s3.{region}.accord.test:8443',
  },
};

function policyOf(trust: Trust, ...regions: readonly string[]): CanonicalPolicy {
  const parties = regions.map((region, index) => [
    `party-${index}`,
    { role: 'data-owner' as const, kmsKey: { region, arnHash: 'c'.repeat(64) } },
  ]);
  return {
    apiVersion: 'accord/v1',
    collaboration: 'test',
    until: '2027-06-30',
    functions: {},
    anchors: 'none',
    state: 'none',
    enclave: { memoryMiB: 512, cpus: 1 },
    trust,
    parties: Object.fromEntries(parties),
  };
}

describe('the allow-list', () => {
  it("is AWS's KMS in the parties' Regions, each once", () => {
    expect(allowList(policyOf('aws', 'us-east-1', 'eu-west-1', 'eu-west-1', 'cn-north-1'))).toEqual([
      { host: 'kms.cn-north-1.amazonaws.com.cn', port: 443 },
      { host: 'kms.eu-west-1.amazonaws.com', port: 443 },
      { host: 'kms.us-east-1.amazonaws.com', port: 443 },
    ]);
  });

  it('is what the policy says of its local endpoints, and nothing of AWS', () => {
    expect(allowList(policyOf(LOCAL, 'eu-west-1'))).toEqual([{ host: 'kms.eu-west-1.accord.test', port: 8443 }]);
  });

  it('is also the S3 of the anchors, each in its Region; a folder needs none', () => {
    const store = (owner: string, region: string) => ({ owner, s3: { bucket: `${owner}-anchor`, prefix: 'accord/', region } }); // prettier-ignore
    const stores = [store('a', 'eu-west-1'), store('b', 'us-west-2'), store('c', 'us-west-2'), { owner: 'd', folder: '/x' }]; // prettier-ignore
    const anchors = { stores, quorum: 3 };
    expect(allowList({ ...policyOf('aws', 'eu-west-1'), anchors })).toEqual([
      { host: 'kms.eu-west-1.amazonaws.com', port: 443 },
      { host: 's3.eu-west-1.amazonaws.com', port: 443 },
      { host: 's3.us-west-2.amazonaws.com', port: 443 },
    ]);
    expect(allowList({ ...policyOf(LOCAL, 'eu-west-1'), anchors: { stores: stores.slice(0, 1), quorum: 1 } })).toEqual([
      { host: 'kms.eu-west-1.accord.test', port: 8443 },
      { host: 's3.eu-west-1.accord.test', port: 8443 },
    ]);
  });

  it('takes nothing that only resembles an entry', () => {
    const list = allowList(policyOf('aws', 'eu-west-1'));
    expect(isAllowed(list, { host: 'kms.eu-west-1.amazonaws.com', port: 443 })).toBe(true);
    for (const host of [
      'KMS.eu-west-1.amazonaws.com',
      'kms.eu-west-1.amazonaws.com.',
      'kms.eu-west-1.amazonaws.com.evil.test',
      'x.kms.eu-west-1.amazonaws.com',
      'kms.eu-west-2.amazonaws.com',
      's3.eu-west-1.amazonaws.com',
      'sts.eu-west-1.amazonaws.com',
      '127.0.0.1',
      '169.254.169.254',
      'localhost',
      '',
    ]) {
      expect(isAllowed(list, { host, port: 443 }), host).toBe(false);
    }
    expect(isAllowed(list, { host: 'kms.eu-west-1.amazonaws.com', port: 80 })).toBe(false);
  });
});

describe('addresses', () => {
  it('send *.accord.test to the local AWS, and everything else where it says', async () => {
    const local = { host: '127.0.0.1', port: 7401 };
    const kms = { host: 'kms.eu-west-1.accord.test', port: 443 };
    const real = { host: 'kms.eu-west-1.amazonaws.com', port: 443 };
    expect(await addressOf(kms, async () => local)).toEqual(local);
    expect(await addressOf(kms, undefined)).toBeUndefined();
    expect(await addressOf(real, async () => local)).toEqual(real);
    expect(await addressOf({ host: 'accord.test.evil.example', port: 443 }, async () => local)).toEqual({
      host: 'accord.test.evil.example',
      port: 443,
    });
  });
});
