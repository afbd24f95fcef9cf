import { X509Certificate } from 'node:crypto';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createChainCache, trustedChain } from '../../../parties/attestation/chain.ts';
import { parseCertificate } from '../../../parties/attestation/certificate.ts';
import { parseAttestation, verifyAttestation } from '../../../parties/attestation/verify.ts';
import type { Expectation } from '../../../parties/attestation/verify.ts';
import { Failure } from '../../../policies/failure.ts';
import { CLAIMS, at, bundleOf, expectationFor, flipByte, judge, leafOf, makeChain, makeDocument, rootOf, verdict } from './testkit.ts'; // prettier-ignore
import type { Chain } from './testkit.ts';

let chain: Chain;
let document: Uint8Array;
let expectation: Expectation;
beforeAll(async () => {
  chain = await makeChain();
  document = await makeDocument(chain);
  expectation = await expectationFor(chain);
});

/** A value or a coded failure of this room: anything else is thrown, and fails the property. */
function parsed(bytes: Uint8Array): 'document' | 'refused' {
  try {
    parseAttestation(bytes);
    return 'document';
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    expect(error.code).toMatch(/^attestation\//);
    expect(error.where).toBeDefined();
    return 'refused';
  }
}

describe('totality', () => {
  test('any bytes give a document or a coded failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parsed(bytes)),
      { numRuns: 2000 },
    );
  });

  test('any bytes in an envelope give a document or a coded failure', () => {
    const start = document.subarray(0, 8);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parsed(new Uint8Array([...start, ...bytes]))),
      { numRuns: 1000 },
    );
  });

  test('any bytes give a certificate or a coded failure', () => {
    const der = leafOf(chain).certificate;
    fc.assert(
      fc.property(
        fc.nat({ max: der.length - 1 }),
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        (start, replacement) => {
          const bytes = new Uint8Array(der);
          bytes.set(replacement.subarray(0, der.length - start), start);
          try {
            parseCertificate(bytes, 'certificate');
          } catch (error) {
            expect(error).toBeInstanceOf(Failure);
            expect(error instanceof Failure && error.code).toMatch(/^attestation\/certificate-/);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('every byte counts', () => {
  test('no document with one byte changed is valid', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: document.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (position, change) => {
          const bytes = new Uint8Array(document);
          bytes[position] = (bytes[position] ?? 0) ^ change;
          const outcome = await verdict(() => judge(bytes, expectation));
          expect(outcome).not.toBe('valid');
          expect(outcome).toHaveProperty('code', expect.stringMatching(/^attestation\//));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('no document that is cut short or continued is valid', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: document.length - 1 }), fc.uint8Array({ maxLength: 20 }), async (length, tail) => {
        fc.pre(length + tail.length !== document.length);
        const bytes = new Uint8Array([...document.subarray(0, length), ...tail]);
        expect(await verdict(() => judge(bytes, expectation))).not.toBe('valid');
      }),
      { numRuns: 200 },
    );
  });

  test('a chain with one byte changed is refused, and Node agrees wherever the change is under a signature', async () => {
    const certificates = [...bundleOf(chain), leafOf(chain).certificate];
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.nat(), async (which, somewhere) => {
        const der = at(certificates, which);
        const changed = certificates.with(which, flipByte(der, somewhere % der.length));
        const outcome = await verdict(() => trustedChain(changed.slice(0, -1), at(changed, -1)));
        expect(outcome).not.toBe('valid');
        expect(nodeAccepts(changed)).toBe(false);
      }),
      { numRuns: 150 },
    );
  });

  test('the root is pinned by all of its bytes, its own signature among them', async () => {
    const root = rootOf(chain);
    for (const position of [-1, -50, 100]) {
      const bundle = bundleOf(chain).with(0, flipByte(root, position));
      const forged = {
        ...chain,
        certificates: chain.certificates.with(0, { ...at(chain.certificates, 0), certificate: at(bundle, 0) }),
      };
      const outcome = await verdict(async () => judge(await makeDocument(forged), expectation));
      expect(outcome).not.toBe('valid');
    }
  });
});

/** The chain's signatures and names by another implementation. */
function nodeAccepts(certificates: readonly Uint8Array[]): boolean {
  try {
    const parsed = certificates.map((der) => new X509Certificate(der));
    return parsed.slice(1).every((subject, position) => {
      const issuer = at(parsed, position);
      return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
    });
  } catch {
    return false;
  }
}

test('generated chains please Node too', () => {
  expect(nodeAccepts([...bundleOf(chain), leafOf(chain).certificate])).toBe(true);
});

describe('the chain cache', () => {
  test('a chain found good is not verified again, and a new leaf costs one more entry', async () => {
    const chains = createChainCache();
    const first = await trustedChain(bundleOf(chain), leafOf(chain).certificate, chains);
    expect(await trustedChain(bundleOf(chain), leafOf(chain).certificate, chains)).toBe(first);
    const uncached = await trustedChain(bundleOf(chain), leafOf(chain).certificate);
    expect(uncached).not.toBe(first);
    expect(uncached.rootSha256).toBe(first.rootSha256);
  });

  test('with it, everything is refused that is refused without it', async () => {
    const chains = createChainCache();
    const other = await makeChain();
    expect(await verdict(() => judge(document, expectation, { chains }))).toBe('valid');
    const spoiledLeaf = flipByte(leafOf(chain).certificate, -1);
    const spoiledBundle = bundleOf(chain).with(2, flipByte(at(bundleOf(chain), 2), -1));
    const code = (bundle: readonly Uint8Array[], leaf: Uint8Array) => verdict(() => trustedChain(bundle, leaf, chains));
    const bad = { code: 'attestation/certificate-signature' };
    expect(await code(bundleOf(chain), spoiledLeaf)).toMatchObject(bad);
    expect(await code(bundleOf(chain), spoiledLeaf)).toMatchObject(bad);
    expect(await code(spoiledBundle, leafOf(chain).certificate)).toMatchObject(bad);
    expect(await code(bundleOf(chain), leafOf(other).certificate)).toMatchObject(bad);
    expect(await code(bundleOf(chain).slice(0, -1), leafOf(chain).certificate)).toMatchObject({
      code: 'attestation/issuer-mismatch',
    });
    expect(await verdict(() => judge(flipByte(document, -1), expectation, { chains }))).toMatchObject({
      code: 'attestation/signature',
    });
  });

  test('a known chain is judged by date and root on every use', async () => {
    const chains = createChainCache();
    expect(await verdict(() => judge(document, expectation, { chains }))).toBe('valid');
    const later = new Date(leafOf(chain).notAfter + 1);
    expect(await verdict(() => judge(document, { ...expectation, at: later }, { chains }))).toMatchObject({
      code: 'attestation/expired',
    });
    const { roots } = await expectationFor(await makeChain());
    expect(await verdict(() => judge(document, { ...expectation, roots }, { chains }))).toMatchObject({
      code: 'attestation/unknown-root',
    });
  });

  test('the bytes are the key, with their boundaries: the same bytes cut elsewhere are another chain', async () => {
    const chains = createChainCache();
    const [root, regional, ...rest] = bundleOf(chain);
    const leaf = leafOf(chain).certificate;
    await trustedChain(bundleOf(chain), leaf, chains);
    const glued = [new Uint8Array([...(root ?? []), ...(regional ?? [])]), ...rest];
    expect(await verdict(() => trustedChain(glued, leaf, chains))).toMatchObject({
      code: 'attestation/certificate-malformed',
    });
  });

  test('it holds no more than its capacity, and forgets what was not used for longest', async () => {
    const chains = createChainCache(2);
    const known = await trustedChain(bundleOf(chain), leafOf(chain).certificate);
    chains.set('a', known);
    chains.set('b', known);
    expect(chains.get('a')).toBe(known);
    chains.set('c', known);
    expect([chains.get('a'), chains.get('b'), chains.get('c')]).toStrictEqual([known, undefined, known]);
  });

  test('verifications that run at once do not disturb each other', async () => {
    const chains = createChainCache();
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        verdict(() => judge(index % 2 === 0 ? document : flipByte(document, -1), expectation, { chains })),
      ),
    );
    expect(outcomes.map((outcome) => outcome === 'valid')).toStrictEqual(outcomes.map((_, index) => index % 2 === 0));
  });
});

test('what is claimed is what is read, for any claims within the limits', async () => {
  const bytes = (max: number, min = 0) => fc.uint8Array({ minLength: min, maxLength: max });
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        publicKey: bytes(1024, 1),
        userData: bytes(1024),
        nonce: bytes(1024),
        timestamp: fc.integer({ min: 1, max: 2 ** 47 }),
      }),
      async (claims) => {
        const read = parseAttestation(await makeDocument(chain, claims));
        expect({
          publicKey: read.publicKey,
          userData: read.userData,
          nonce: read.nonce,
          timestamp: read.timestamp,
        }).toStrictEqual({ ...claims });
        expect(read.moduleId).toBe(CLAIMS.moduleId);
        expect(await verdict(() => verifyAttestation(read, expectation))).toBe('valid');
      },
    ),
    { numRuns: 30 },
  );
});
