/** Signing an image, and finding out what is wrong with a signature. */
import 'reflect-metadata';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SECTION_RULES } from '../../../build/eif/format.ts';
import { signatureSection } from '../../../build/eif/sign.ts';
import { parseSignature } from '../../../build/eif/signature.ts';
import { checkSignature, measureSigned } from '../../../build/eif/verify-signature.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import { decodeCbor, encodeCbor, isCborArray } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { parseCoseSign1, verifyCoseSign1 } from '../../../parties/attestation/cose.ts';
import { describeWithVectors } from '../../vectors.ts';
import { encodeEif } from './encode-eif.ts';
import { FIELDS, SECTIONS, edit } from './samples.ts';
import type { Section } from './samples.ts';

const NOW = new Date('2026-11-21T12:00:00Z');
const CURVES = ['P-256', 'P-384', 'P-521'] as const;
type Curve = (typeof CURVES)[number];

interface Signer {
  readonly key: string;
  readonly certificate: string;
  readonly der: Uint8Array;
}

async function signer(curve: Curve, dates: { readonly from?: string; readonly to?: string } = {}): Promise<Signer> {
  const algorithm = { name: 'ECDSA', namedCurve: curve };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=release, O=Example',
    notBefore: new Date(dates.from ?? '2026-01-01'),
    notAfter: new Date(dates.to ?? '2027-01-01'),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' },
  });
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    certificate: certificate.toString('pem'),
    der: new Uint8Array(certificate.rawData),
  };
}

let signers: Readonly<Record<Curve, Signer>>;
let pcr0: string;
let folder: string;
beforeAll(async () => {
  signers = { 'P-256': await signer('P-256'), 'P-384': await signer('P-384'), 'P-521': await signer('P-521') };
  pcr0 = (await measureEif(encodeEif(FIELDS, SECTIONS))).PCR0;
  folder = mkdtempSync(join(tmpdir(), 'sign-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const sign = (curve: Curve = 'P-384'): ReturnType<typeof signatureSection> =>
  signatureSection(pcr0, signers[curve].key, signers[curve].certificate, NOW);
const signedImage = (sections: readonly Section[] = SECTIONS): Uint8Array =>
  encodeEif(FIELDS, [...sections, { kind: 'signature', content: sign().content }]);
const measured = async (image: Uint8Array): ReturnType<typeof measureSigned> => {
  const path = join(folder, 'image.eif');
  writeFileSync(path, image);
  return measureSigned(path, NOW);
};

describe.each(CURVES)('a key on %s', (curve) => {
  test('signs, and the signature is found to be of this PCR0', () => {
    const { content } = sign(curve);
    expect(content.length).toBeLessThan(SECTION_RULES.signature.maxBytes);
    expect(checkSignature(content, pcr0, NOW)).toEqual({
      valid: true,
      signer: 'CN=release, O=Example',
      notBefore: '2026-01-01T00:00:00.000Z',
      notAfter: '2027-01-01T00:00:00.000Z',
      when: 'valid',
    });
  });

  test('another PCR0 is told, with the one that was signed', () => {
    const verdict = checkSignature(sign(curve).content, 'ab'.repeat(48), NOW);
    expect(verdict).toMatchObject({ valid: false, fault: expect.stringContaining(pcr0) });
  });

  test('gives PCR8: the zero register extended by the digest of the certificate', async () => {
    const { PCR8, content } = sign(curve);
    const digest = createHash('sha384').update(signers[curve].der).digest();
    expect(PCR8).toBe(createHash('sha384').update(new Uint8Array(48)).update(digest).digest('hex'));
    const image = encodeEif(FIELDS, [...SECTIONS, { kind: 'signature', content }]);
    expect(await measureEif(image)).toMatchObject({ PCR0: pcr0, PCR8 });
  });
});

test('the wire is what the AWS tools read and write: arrays of integers, an untagged COSE_Sign1 of ES384', async () => {
  const { content } = sign();
  const value = decodeCbor(content, { maxBytes: 32_768, maxItems: 32_768 });
  if (!isCborArray(value) || value.length !== 1 || !(value[0] instanceof Map)) throw new Error('no array of one map');
  expect([...value[0].keys()]).toEqual(['signing_certificate', 'signature']);
  const { certificate, signature } = parseSignature(content);
  expect(certificate).toEqual(signers['P-384'].der);
  expect(Buffer.from(signature.subarray(0, 8)).toString('hex')).toBe('8444a1013822a058');
  // The reader of attestation documents, which shares no code with the writer, agrees.
  const cose = parseCoseSign1(signature);
  const publicKey = await crypto.subtle.importKey(
    'spki',
    new x509.X509Certificate(Uint8Array.from(certificate)).publicKey.rawData,
    { name: 'ECDSA', namedCurve: 'P-384' },
    false,
    ['verify'],
  );
  await verifyCoseSign1(cose, publicKey);
  const payload = decodeCbor(cose.payload, { maxBytes: 1024 });
  expect(payload).toEqual(
    new Map<string, CborValue>([
      ['register_index', 0],
      ['register_value', [...Buffer.from(pcr0, 'hex')]],
    ]),
  );
});

test('two signatures of one image differ, and nothing else of it does', () => {
  const [first, second] = [sign(), sign()];
  expect(first.content).not.toEqual(second.content);
  expect(first.PCR8).toBe(second.PCR8);
});

describe('an image whose signature is not its own', () => {
  test('as built: valid, in one pass with the PCRs', async () => {
    expect(await measured(signedImage())).toMatchObject({ pcrs: { PCR0: pcr0 }, signature: { valid: true } });
  });

  test('an unsigned image has no verdict', async () => {
    expect((await measured(encodeEif(FIELDS, SECTIONS))).signature).toBeUndefined();
  });

  test.each(SECTIONS.flatMap(({ kind }, index) => (kind === 'metadata' ? [] : [[kind, index] as const])))(
    'one byte of a %s (section %i) changed',
    async (_, index) => {
      const sections = SECTIONS.map((section, i) =>
        i === index
          ? { ...section, content: edit(section.content, (copy) => (copy[3] = (copy[3] ?? 0) ^ 1)) }
          : section,
      );
      const { pcrs, signature } = await measured(signedImage(sections));
      expect(pcrs.PCR0).not.toBe(pcr0);
      expect(signature).toMatchObject({
        valid: false,
        fault: `it was made over the PCR0 ${pcr0}, and this image has another`,
      });
    },
  );

  test('one bit of the signature changed', () => {
    const bent = edit(inner('P-384'), (copy) => (copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1));
    expect(checkSignature(section(signers['P-384'].certificate, bent), pcr0, NOW)).toMatchObject({
      valid: false,
      fault: 'the key of the certificate did not make it',
    });
  });

  test.each<readonly [string, () => Uint8Array, string]>([
    [
      'the certificate of somebody else',
      () => section(signers['P-256'].certificate, inner('P-384')),
      'its algorithm is not ES256',
    ],
    ['no COSE at all', () => section(signers['P-384'].certificate, Uint8Array.of(1, 2, 3)), 'it is not a COSE_Sign1'],
    [
      'a map instead of an array',
      () => section(signers['P-384'].certificate, encodeCbor(new Map())),
      'it is not a COSE_Sign1',
    ],
    [
      'a shorter signature',
      () => section(signers['P-384'].certificate, shortened()),
      'the key of the certificate did not make it',
    ],
  ])('%s', (_, make, fault) => {
    expect(checkSignature(make(), pcr0, NOW)).toMatchObject({ valid: false, fault: expect.stringContaining(fault) });
  });

  test('a tag that readers of the format take is taken', () => {
    const tagged = Uint8Array.of(0xd2, ...inner('P-384'));
    expect(checkSignature(section(signers['P-384'].certificate, tagged), pcr0, NOW)).toMatchObject({ valid: true });
  });

  test('a certificate that has expired since is told beside the verdict', () => {
    expect(checkSignature(sign().content, pcr0, new Date('2028-01-01'))).toMatchObject({
      valid: true,
      when: 'expired',
    });
    expect(checkSignature(sign().content, pcr0, new Date('2025-01-01'))).toMatchObject({ when: 'not-yet-valid' });
  });
});

describe('is not signed with', () => {
  const pem = (kind: 'rsa' | 'ed25519' | 'secp256k1'): string => {
    const pair =
      kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : kind === 'ed25519'
          ? generateKeyPairSync('ed25519')
          : generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    return String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  };
  const locked = (): string =>
    String(
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({
        type: 'pkcs8',
        format: 'pem',
        cipher: 'aes-256-cbc',
        passphrase: 'secret',
      }),
    );
  const mine = (): Signer => signers['P-384'];

  test.each<readonly [string, () => readonly [string, string], string, string]>([
    ['an RSA key', () => [pem('rsa'), mine().certificate], 'sign/key', 'of the kind RSA'],
    ['an Ed25519 key', () => [pem('ed25519'), mine().certificate], 'sign/key', 'of the kind ED25519'],
    ['a curve that the format does not know', () => [pem('secp256k1'), mine().certificate], 'sign/key', 'secp256k1'],
    ['a key under a passphrase', () => [locked(), mine().certificate], 'sign/key', 'passphrase'],
    ['no key', () => ['hello', mine().certificate], 'sign/key', 'not a private key in PEM'],
    [
      'a certificate in the place of the key',
      () => [mine().certificate, mine().certificate],
      'sign/key',
      'not a private key',
    ],
    ['no certificate', () => [mine().key, 'hello'], 'sign/certificate', 'no certificate'],
    [
      'two certificates',
      () => [mine().key, mine().certificate + signers['P-256'].certificate],
      'sign/certificate',
      '2 certificates',
    ],
    [
      'a certificate that is none',
      () => [mine().key, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
      'sign/certificate',
      'cannot be read',
    ],
    [
      'the certificate of another key',
      () => [signers['P-256'].key, mine().certificate],
      'sign/mismatch',
      'another key',
    ],
  ])('%s', (_, make, code, message) => {
    const [key, certificate] = make();
    expect(() => signatureSection(pcr0, key, certificate, NOW)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message), hint: expect.any(String) }),
    );
  });

  test('a certificate outside of its days', async () => {
    const old = await signer('P-384', { to: '2026-06-01' });
    const early = await signer('P-384', { from: '2026-12-01' });
    expect(() => signatureSection(pcr0, old.key, old.certificate, NOW)).toThrow(/expired at 2026-06-01T00:00:00/);
    expect(() => signatureSection(pcr0, early.key, early.certificate, NOW)).toThrow(/valid from 2026-12-01T00:00:00/);
  });

  test('text around the certificate, as openssl prints it: the certificate alone is taken', () => {
    const { key, certificate, der } = signers['P-384'];
    const { content } = signatureSection(pcr0, key, `Certificate:\n    Data:\n${certificate}\n`, NOW);
    expect(parseSignature(content).certificate).toEqual(der);
  });
});

function section(certificate: string, signature: Uint8Array): Uint8Array {
  return encodeCbor([
    new Map<string, CborValue>([
      ['signing_certificate', [...new TextEncoder().encode(certificate.trimEnd())]],
      ['signature', [...signature]],
    ]),
  ]);
}

const inner = (curve: Curve): Uint8Array => parseSignature(sign(curve).content).signature;

function shortened(): Uint8Array {
  const { protected: header, payload, signature } = parseCoseSign1(inner('P-384'));
  return encodeCbor([header, new Map<string, CborValue>(), payload, signature.subarray(1)]);
}

describeWithVectors('real images', (vectors) => {
  const index: { files: { file: string; pcrs?: { PCR0: string } }[] } = JSON.parse(
    readFileSync(join(vectors, 'eif', 'index.json'), 'utf8'),
  );
  test.each(index.files.flatMap(({ file, pcrs }) => (pcrs === undefined ? [] : [[file, pcrs.PCR0] as const])))(
    '%s is signed over the PCR0 that another program computed for it',
    async (file, expected) => {
      const { pcrs } = await measureSigned(join(vectors, 'eif', file), NOW);
      expect(pcrs.PCR0).toBe(expected);
      const { content } = signatureSection(expected, signers['P-384'].key, signers['P-384'].certificate, NOW);
      expect(checkSignature(content, pcrs.PCR0, NOW).valid).toBe(true);
    },
  );
});
