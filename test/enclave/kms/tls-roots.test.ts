import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import type { PeerCertificate } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { outsideValidity } from '../../../enclave/kms/agent.ts';
import { kmsEndpoint } from '../../../enclave/kms/endpoint.ts';
import { AMAZON_ROOTS, tlsRoots } from '../../../enclave/kms/tls-roots.ts';
import type { LocalTrust } from '../../../policies/model.ts';

const derOf = (pem: string): Uint8Array => new Uint8Array(new X509Certificate(pem).raw);
const [first = '', second = '', third = ''] = rootCertificates;

async function trusting(...roots: readonly string[]): Promise<LocalTrust> {
  return {
    attestationRoot: '00'.repeat(32),
    tlsRoots: await Promise.all(roots.map(async (pem) => toHex(await sha256(derOf(pem))))),
    endpoints: {
      kms: 'https://kms.{region}.accord.test:8443',
      sts: 'https://sts.{region}.accord.test',
      s3: 'https://s3.{region}.accord.test:8443',
    },
  };
}

describe('for AWS', () => {
  test('Amazon’s own roots are believed, out of those that come with Node, and no others', async () => {
    const roots = await tlsRoots('aws', [], rootCertificates);
    const subjects = roots.map((pem) => new X509Certificate(pem).subject);
    expect(subjects).toHaveLength(AMAZON_ROOTS.length);
    for (const subject of subjects) expect(subject).toMatch(/O=(Amazon|Starfield Technologies)/);
  });

  test('what the host offers is not looked at', async () => {
    const roots = await tlsRoots('aws', [derOf(first)], rootCertificates);
    expect(roots).toHaveLength(AMAZON_ROOTS.length);
  });

  test('a Node that lacks one is refused', async () => {
    await expect(tlsRoots('aws', [], [first])).rejects.toMatchObject({ code: 'tls/root-missing' });
  });

  test.each([
    ['eu-west-1', 'https://kms.eu-west-1.amazonaws.com'],
    ['cn-north-1', 'https://kms.cn-north-1.amazonaws.com.cn'],
    ['us-gov-west-1', 'https://kms.us-gov-west-1.amazonaws.com'],
  ])('%s is served at %s', (region, endpoint) => {
    expect(kmsEndpoint('aws', region)).toBe(endpoint);
  });
});

describe('for a local trust', () => {
  test('exactly the pinned ones are believed', async () => {
    const roots = await tlsRoots(await trusting(first, second), [derOf(second), derOf(first)], rootCertificates);
    expect(new Set(roots.map((pem) => toHex(derOf(pem))))).toEqual(
      new Set([first, second].map((pem) => toHex(derOf(pem)))),
    );
  });

  test.each([
    ['another one', [third], 'tls/root-unknown'],
    ['one too many', [first, second, third], 'tls/root-unknown'],
    ['one too few', [first], 'tls/root-missing'],
    ['none', [], 'tls/root-missing'],
  ])('%s is refused, whatever comes with Node', async (_, offered, code) => {
    const trust = await trusting(first, second);
    await expect(tlsRoots(trust, offered.map(derOf), rootCertificates)).rejects.toMatchObject({ code });
  });

  test('the endpoint is the policy’s', async () => {
    expect(kmsEndpoint(await trusting(first), 'eu-west-1')).toBe('https://kms.eu-west-1.accord.test:8443');
  });
});

describe('validity at the NSM’s time', () => {
  const certificate = (from: string, to: string, more: object = {}): PeerCertificate =>
    // The parts of a PeerCertificate that are looked at.
    Object.assign(Object.create(null), { valid_from: from, valid_to: to, fingerprint256: `${from}${to}`, ...more });
  const now = Date.parse('2026-11-21T12:00:00Z');
  const ROOT = certificate('Jan  1 00:00:00 2020 GMT', 'Jan  1 00:00:00 2040 GMT');

  test.each([
    ['in time', 'Nov 21 12:00:00 2026 GMT', 'Nov 21 12:00:00 2026 GMT', true],
    ['not yet', 'Nov 21 12:00:01 2026 GMT', 'Jan  1 00:00:00 2040 GMT', false],
    ['no more', 'Jan  1 00:00:00 2020 GMT', 'Nov 21 11:59:59 2026 GMT', false],
    ['no date', 'never', 'Jan  1 00:00:00 2040 GMT', false],
  ])('%s', (_, from, to, valid) => {
    const leaf = certificate(from, to, { issuerCertificate: ROOT });
    expect(outsideValidity(leaf, now) === undefined).toBe(valid);
    // The chain is looked at to its end.
    const below = certificate('Jan  1 00:00:00 2020 GMT', 'Jan  1 00:00:00 2040 GMT', {
      fingerprint256: 'leaf',
      issuerCertificate: leaf,
    });
    expect(outsideValidity(below, now) === undefined).toBe(valid);
  });

  test('a root that issued itself ends the way', () => {
    const root = certificate('Jan  1 00:00:00 2020 GMT', 'Jan  1 00:00:00 2040 GMT');
    expect(outsideValidity(Object.assign(root, { issuerCertificate: root }), now)).toBeUndefined();
  });
});
