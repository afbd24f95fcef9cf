import { X509Certificate, createHash } from 'node:crypto';
import { expect, describe, test } from 'vitest';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';
import { AWS_ROOT_SHA256 } from '../../../parties/attestation/aws-root.ts';
import { parseCertificate } from '../../../parties/attestation/certificate.ts';
import { awsRoot, localRootOf, notChecked, parseAttestation } from '../../../parties/attestation/verify.ts';
import type { Expectation } from '../../../parties/attestation/verify.ts';
import { describeWithVectors } from '../../vectors.ts';
import { flipByte, judge, readVector, readVectors, verdict } from './testkit.ts';
import type { Vector } from './testkit.ts';

test('the AWS root is pinned to what AWS publishes', () => {
  expect(AWS_ROOT_SHA256).toBe('641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b');
  expect(awsRoot).toStrictEqual({ kind: 'aws', sha256: AWS_ROOT_SHA256 });
});

describeWithVectors('genuine attestation documents', (folder) => {
  const vectors = readVectors(folder);
  const wellFormed = vectors.filter(({ kind }) => kind !== 'malformed-truncated');
  const genuine = vectors.filter(({ kind }) => kind.startsWith('genuine'));
  const bytes = ({ file }: Vector): Uint8Array => readVector(folder, file);

  /** Everything that the index says about the document, at the document's own time. */
  const stated = (vector: Vector): Expectation => {
    const pcr = (index: number): string => vector.pcrs[index] ?? '';
    return {
      roots: [awsRoot],
      at: new Date(vector.timestampMs),
      pcrs: { ...vector.pcrs, 0: pcr(0), 1: pcr(1), 2: pcr(2) },
      nonce: vector.nonceHex === null ? notChecked('the document holds none') : fromHex(vector.nonceHex),
      policyDigest: notChecked('not of an Accord enclave'),
      maxAgeMs: 0,
      allowDebug: true,
    };
  };

  test('the folder holds both encodings, debug enclaves and spoiled documents', () => {
    expect(new Set(genuine.map((vector) => vector.payloadIndefiniteLengthMap))).toStrictEqual(new Set([true, false]));
    expect(new Set(vectors.map(({ kind }) => kind)).size).toBe(4);
  });

  test.each(wellFormed)('$file is read as the index says', (vector) => {
    const document = parseAttestation(bytes(vector));
    const hex = (field: Uint8Array | undefined): string | null => (field === undefined ? null : toHex(field));
    expect(document.moduleId).toBe(vector.moduleId);
    expect(document.timestamp).toBe(vector.timestampMs);
    expect(Object.fromEntries([...document.pcrs].map(([index, value]) => [index, toHex(value)]))).toStrictEqual(
      vector.pcrs,
    );
    expect(hex(document.nonce)).toBe(vector.nonceHex);
    expect(hex(document.userData)).toBe(vector.userDataHex);
    expect(hex(document.publicKey)).toBe(vector.publicKeyHex);
    expect(document.cose.payload[0] === 0xbf).toBe(vector.payloadIndefiniteLengthMap);
  });

  test.each(genuine)('$file is valid at its own time', async (vector) => {
    const verified = await judge(bytes(vector), stated(vector));
    expect(verified.root.kind).toBe('aws');
    expect(verified.debug).toBe(vector.debugMode);
  });

  test.each(genuine)('$file is valid to the last millisecond of its leaf, and not after', async (vector) => {
    const [notBefore = '', notAfter = ''] = vector.certs.validity.at(-1) ?? [];
    const judgedAt = (time: number) =>
      verdict(() =>
        judge(bytes(vector), { ...stated(vector), maxAgeMs: notChecked('about dates'), at: new Date(time) }),
      );
    expect(await judgedAt(Date.parse(notBefore))).toBe('valid');
    expect(await judgedAt(Date.parse(notAfter))).toBe('valid');
    expect(await judgedAt(Date.parse(notBefore) - 1)).toMatchObject({
      code: 'attestation/not-yet-valid',
      where: 'certificate',
    });
    expect(await judgedAt(Date.parse(notAfter) + 1)).toMatchObject({
      code: 'attestation/expired',
      where: 'certificate',
    });
    expect(await judgedAt(Date.now())).toMatchObject({ kind: 'refused', code: 'attestation/expired' });
  });

  test.each(genuine)('$file: debug mode is refused unless it is allowed', async (vector) => {
    const outcome = await verdict(() => judge(bytes(vector), { ...stated(vector), allowDebug: false }));
    if (vector.debugMode) expect(outcome).toMatchObject({ kind: 'refused', code: 'attestation/debug' });
    else expect(outcome).toBe('valid');
  });

  test.each(genuine)('$file is refused under another root', async (vector) => {
    const other = await localRootOf(flipByte(new Uint8Array(100), 3));
    const outcome = await verdict(() => judge(bytes(vector), { ...stated(vector), roots: [other] }));
    expect(outcome).toMatchObject({ kind: 'refused', code: 'attestation/unknown-root' });
  });

  test.each(genuine)('$file is refused where any expectation differs', async (vector) => {
    const base = stated(vector);
    const code = async (overrides: Partial<Expectation>): Promise<unknown> =>
      verdict(() => judge(bytes(vector), { ...base, ...overrides }));
    const { pcrs } = base;
    if ('notChecked' in pcrs) throw new TypeError('stated above');
    const wrong = 'f'.repeat(96);
    for (const index of [0, 1, 2, 4]) {
      expect(await code({ pcrs: { ...pcrs, [index]: wrong } })).toMatchObject({
        code: 'attestation/pcr-mismatch',
        where: `payload.pcrs.${index}`,
      });
    }
    expect(await code({ pcrs: { ...pcrs, 31: wrong } })).toMatchObject({ code: 'attestation/pcr-missing' });
    expect(await code({ nonce: new Uint8Array(19) })).toMatchObject({
      code: vector.nonceHex === null ? 'attestation/nonce-missing' : 'attestation/nonce-mismatch',
    });
    expect(await code({ policyDigest: notChecked('') })).toBe('valid');
    expect(await code({ at: new Date(vector.timestampMs + 1) })).toMatchObject({ code: 'attestation/stale' });
  });

  test.each(vectors.filter(({ kind }) => kind === 'bad-cose-signature'))(
    '$file: its signature is bad',
    async (vector) => {
      const outcome = await verdict(() => judge(bytes(vector), stated(vector)));
      expect(outcome).toStrictEqual({ kind: 'refused', code: 'attestation/signature', where: 'signature' });
    },
  );

  test.each(vectors.filter(({ kind }) => kind === 'malformed-truncated'))('$file is truncated', async (vector) => {
    const outcome = await verdict(async () => parseAttestation(bytes(vector)));
    expect(outcome).toMatchObject({ kind: 'malformed', code: 'attestation/truncated' });
  });

  test.each(genuine)('$file: a byte more or less is refused as such', async (vector) => {
    const whole = bytes(vector);
    const longer = new Uint8Array([...whole, 0]);
    expect(await verdict(async () => parseAttestation(longer))).toMatchObject({
      kind: 'malformed',
      code: 'attestation/trailing-bytes',
    });
    for (const length of [0, 1, 8, 100, whole.length - 97, whole.length - 1]) {
      const cut = whole.subarray(0, length);
      expect(await verdict(async () => parseAttestation(cut))).toMatchObject({
        kind: 'malformed',
        code: 'attestation/truncated',
      });
    }
  });

  describe('certificates, against another implementation', () => {
    test.each(genuine)('$file: what we read is what Node reads', (vector) => {
      const { cabundle, certificate } = parseAttestation(bytes(vector));
      const chain = [...cabundle, certificate];
      const theirs = chain.map((der) => new X509Certificate(der));
      const [root] = chain;
      expect(
        createHash('sha256')
          .update(root ?? '')
          .digest('hex'),
      ).toBe(AWS_ROOT_SHA256);
      for (const [position, der] of chain.entries()) {
        const ours = parseCertificate(der, 'test');
        const other = theirs[position];
        const issuer = theirs[Math.max(position - 1, 0)];
        if (other === undefined || issuer === undefined) throw new RangeError('same length');
        expect([ours.notBefore, ours.notAfter]).toStrictEqual([Date.parse(other.validFrom), Date.parse(other.validTo)]);
        expect(ours.ca).toBe(other.ca);
        const { x = '', y = '' } = other.publicKey.export({ format: 'jwk' });
        expect(toHex(ours.point)).toBe(
          `04${Buffer.from(x, 'base64url').toString('hex')}${Buffer.from(y, 'base64url').toString('hex')}`,
        );
        expect(other.verify(issuer.publicKey)).toBe(true);
        expect(other.checkIssued(issuer)).toBe(true);
        expect([ours.notBefore, ours.notAfter]).toStrictEqual(
          (vector.certs.validity[position] ?? []).map((time) => Date.parse(time)),
        );
      }
    });
  });
});
