/** One fault at a time in an otherwise right document, each refused with its own code. */
import 'reflect-metadata';
import { Extension, KeyUsageFlags } from '@peculiar/x509';
import { beforeAll, describe, expect, test } from 'vitest';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { encodePayload, signDocument } from '../../../orchestrator/local/attestation-issuer.ts';
import type { Authority, CertificateSpec } from '../../../orchestrator/local/pki.ts';
import { encodeUserData } from '../../../enclave/protocol/user-data.ts';
import { awsRoot, localRoot, notChecked, parseAttestation } from '../../../parties/attestation/verify.ts';
import type { AttestationCode, Expectation } from '../../../parties/attestation/verify.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import { CLAIMS, NOW, at, bundleOf, expectationFor, flipByte, judge, leafOf, makeChain, makeCose, makeDocument, makeEdited, rootOf, verdict } from './testkit.ts'; // prettier-ignore
import type { Chain, ChainEdits, Level, Payload } from './testkit.ts';

const DAY = 86_400_000;
let good: Chain;
beforeAll(async () => {
  good = await makeChain();
});

test('untouched, the document is valid: every refusal below is owed to its one fault', async () => {
  const verified = await judge(await makeDocument(good), await expectationFor(good));
  expect(verified.root.kind).toBe('local');
  expect(verified.notChecked.map(({ what }) => what)).toStrictEqual([
    'PCR0',
    'PCR1',
    'PCR2',
    'nonce',
    'policyDigest',
    'maxAge',
  ]);
});

describe('the chain', () => {
  const without =
    (name: 'basicConstraints' | 'keyUsage') =>
    (spec: CertificateSpec): CertificateSpec => {
      const { [name]: _, ...rest } = spec;
      return rest;
    };
  const dropCaBit = (spec: CertificateSpec): CertificateSpec => ({ ...spec, basicConstraints: { ca: false } });
  const expire = (spec: CertificateSpec): CertificateSpec => ({
    ...spec,
    notBefore: NOW - 2 * DAY,
    notAfter: NOW - 1000,
  });
  const postpone = (spec: CertificateSpec): CertificateSpec => ({ ...spec, notBefore: NOW + 1000 });
  const limitPath =
    (pathLength: number) =>
    (spec: CertificateSpec): CertificateSpec => ({ ...spec, basicConstraints: { ca: true, pathLength } });
  const useFor =
    (flags: KeyUsageFlags) =>
    (spec: CertificateSpec): CertificateSpec => ({ ...spec, keyUsage: { flags, critical: true } });
  const extend =
    (oid: string, critical: boolean) =>
    (spec: CertificateSpec): CertificateSpec => ({
      ...spec,
      extensions: [new Extension(oid, critical, Uint8Array.of(0x05, 0x00))],
    });
  const signWithSha256 = (spec: CertificateSpec): CertificateSpec => ({ ...spec, hash: 'SHA-256' });

  test.each<readonly [AttestationCode, Level, string, (spec: CertificateSpec) => CertificateSpec, string]>([
    ['attestation/expired', 'leaf', 'expireLeaf', expire, 'certificate'],
    ['attestation/expired', 'instance', 'expireInstance', expire, 'cabundle[3]'],
    ['attestation/expired', 'root', 'expireRoot', expire, 'cabundle[0]'],
    ['attestation/not-yet-valid', 'leaf', 'postponeLeaf', postpone, 'certificate'],
    ['attestation/not-yet-valid', 'regional', 'postponeRegional', postpone, 'cabundle[1]'],
    ['attestation/not-a-ca', 'instance', 'dropCaBit', dropCaBit, 'cabundle[3]'],
    ['attestation/not-a-ca', 'zonal', 'dropBasicConstraints', without('basicConstraints'), 'cabundle[2]'],
    ['attestation/not-a-ca', 'root', 'dropCaBit of the root', dropCaBit, 'cabundle[0]'],
    ['attestation/leaf-is-ca', 'leaf', 'leafBecomesCa', limitPath(0), 'certificate'],
    ['attestation/path-length', 'zonal', 'shortenPath', limitPath(0), 'cabundle[2]'],
    ['attestation/path-length', 'regional', 'shortenPath at the top', limitPath(1), 'cabundle[1]'],
    ['attestation/path-length', 'root', 'shortenPath of the root', limitPath(2), 'cabundle[0]'],
    ['attestation/key-usage', 'instance', 'dropKeyCertSign', useFor(KeyUsageFlags.digitalSignature), 'cabundle[3]'],
    ['attestation/key-usage', 'regional', 'dropKeyUsage', without('keyUsage'), 'cabundle[1]'],
    ['attestation/key-usage', 'leaf', 'dropDigitalSignature', useFor(KeyUsageFlags.keyAgreement), 'certificate'],
    ['attestation/key-usage', 'leaf', 'dropKeyUsage of the leaf', without('keyUsage'), 'certificate'],
    [
      'attestation/certificate-extension',
      'zonal',
      'addUnknownCriticalExtension',
      extend('1.3.6.1.4.1.55555.1', true),
      'cabundle[2]',
    ],
    [
      'attestation/certificate-extension',
      'leaf',
      'addCriticalNameConstraints',
      extend('2.5.29.30', true),
      'certificate',
    ],
    ['attestation/certificate-malformed', 'leaf', 'repeatExtension', extend('2.5.29.15', false), 'certificate'],
    [
      'attestation/certificate-malformed',
      'leaf',
      'repeat one that nobody needs to know',
      (spec) => ({
        ...spec,
        extensions: [0, 1].map(() => new Extension('1.3.6.1.4.1.55555.1', false, Uint8Array.of(0x05, 0))),
      }),
      'certificate',
    ],
    [
      'attestation/certificate-malformed',
      'leaf',
      'breakBasicConstraints',
      (spec) => extend('2.5.29.19', true)(without('basicConstraints')(spec)),
      'certificate',
    ],
    ['attestation/certificate-algorithm', 'zonal', 'signWithSha256', signWithSha256, 'cabundle[2]'],
  ])('%s: %s: %s', async (code, level, _, edit, where) => {
    const edits: ChainEdits = { [level]: edit };
    const chain = await makeChain(edits);
    const outcome = await verdict(async () => judge(await makeDocument(chain), await expectationFor(chain)));
    expect(outcome).toMatchObject({ code, where });
  });

  test.each<readonly [Level, string, (spec: CertificateSpec) => CertificateSpec]>([
    ['zonal', 'an unknown extension that is not critical', extend('1.3.6.1.4.1.55555.1', false)],
    ['zonal', 'a longer path than needed', limitPath(9)],
    [
      'leaf',
      'a key usage beside digitalSignature',
      useFor(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyAgreement),
    ],
  ])('is accepted: %s: %s', async (level, _, edit) => {
    const chain = await makeChain({ [level]: edit });
    expect(await verdict(async () => judge(await makeDocument(chain), await expectationFor(chain)))).toBe('valid');
  });

  test('another curve for the leaf', async () => {
    const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const chain = await makeChain({}, { leaf: keys });
    const outcome = await verdict(async () => judge(await makeDocument(chain), await expectationFor(chain)));
    expect(outcome).toMatchObject({ kind: 'refused', code: 'attestation/certificate-key', where: 'certificate' });
  });

  /** A document of the good chain that carries these certificates instead, signed again by `signer`. */
  const carrying = async (bundle: readonly Uint8Array[], leaf: Uint8Array, signer: Authority = leafOf(good)) =>
    verdict(async () =>
      judge(await signDocument(encodePayload(CLAIMS, leaf, bundle), signer), await expectationFor(good)),
    );
  const leafDer = (): Uint8Array => leafOf(good).certificate;

  test('wrong root: a chain that is right in itself', async () => {
    const other = await makeChain();
    const outcome = await verdict(async () => judge(await makeDocument(other), await expectationFor(good)));
    expect(outcome).toStrictEqual({ kind: 'refused', code: 'attestation/unknown-root', where: 'cabundle[0]' });
  });

  test('the right root in front of a chain that another root signed', async () => {
    const other = await makeChain();
    const outcome = await carrying(
      [rootOf(good), ...bundleOf(other).slice(1)],
      leafOf(other).certificate,
      leafOf(other),
    );
    expect(outcome).toStrictEqual({ kind: 'refused', code: 'attestation/certificate-signature', where: 'cabundle[1]' });
  });

  test('swapped leaf: one of the same names and another key', async () => {
    const other = await makeChain();
    const outcome = await carrying(bundleOf(good), leafOf(other).certificate, leafOf(other));
    expect(outcome).toStrictEqual({ kind: 'refused', code: 'attestation/certificate-signature', where: 'certificate' });
  });

  test('swapped intermediate: one of the same names and another key', async () => {
    const other = await makeChain();
    const bundle = bundleOf(good).with(2, at(bundleOf(other), 2));
    expect(await carrying(bundle, leafDer())).toMatchObject({
      code: 'attestation/certificate-signature',
      where: 'cabundle[2]',
    });
  });

  test('swapped order, a missing and a doubled certificate', async () => {
    const bundle = bundleOf(good);
    const [root, regional, zonal, instance] = [at(bundle, 0), at(bundle, 1), at(bundle, 2), at(bundle, 3)];
    const mismatch = { kind: 'refused', code: 'attestation/issuer-mismatch' };
    expect(await carrying([root, zonal, regional, instance], leafDer())).toMatchObject({
      kind: 'refused',
      code: 'attestation/path-length',
    });
    expect(await carrying([root, regional, instance], leafDer())).toMatchObject({ ...mismatch, where: 'cabundle[2]' });
    expect(await carrying([root], leafDer())).toMatchObject({ ...mismatch, where: 'certificate' });
    expect(await carrying([regional, zonal, instance], leafDer())).toMatchObject({ code: 'attestation/unknown-root' });
    expect(await carrying([root, root, regional, zonal, instance], leafDer())).toBe('valid');
  });

  test('a certificate where one may not stand: an authority as leaf, a leaf as authority', async () => {
    const bundle = bundleOf(good);
    const instance = at(good.certificates, 3);
    expect(await carrying(bundle.slice(0, 3), instance.certificate, instance)).toMatchObject({
      code: 'attestation/leaf-is-ca',
    });
    const extended = await carrying([at(bundle, 0), leafDer()], leafDer());
    expect(extended).toMatchObject({ code: 'attestation/not-a-ca', where: 'cabundle[1]' });
  });

  test('flipCertificateSignature: the last byte, and the length inside', async () => {
    const bundle = bundleOf(good);
    const spoiled = bundle.with(3, flipByte(at(bundle, 3), -1));
    const bad = { kind: 'refused', code: 'attestation/certificate-signature' };
    expect(await carrying(spoiled, leafDer())).toMatchObject({ ...bad, where: 'cabundle[3]' });
    expect(await carrying(bundle, flipByte(leafDer(), -1))).toMatchObject({ ...bad, where: 'certificate' });
    const der = leafDer();
    const sequence = der.findLastIndex(
      (byte, index) => byte === 0x30 && der[index + 2] === 0x02 && der.length - index - 2 === der[index + 1],
    );
    expect(await carrying(bundle, flipByte(der, sequence + 3))).toMatchObject({ ...bad, where: 'certificate' });
  });

  test('a key of the right length that names another curve', async () => {
    const der = leafDer();
    const secp384r1 = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    const curve = der.findIndex((_, index) => secp384r1.every((byte, offset) => der[index + offset] === byte));
    expect(curve).toBeGreaterThan(0);
    // The last byte makes it secp521r1.
    expect(await carrying(bundleOf(good), flipByte(der, curve + 6))).toMatchObject({
      kind: 'refused',
      code: 'attestation/certificate-key',
      where: 'certificate',
    });
  });

  test('certificates that are none', async () => {
    const broken = { kind: 'malformed', code: 'attestation/certificate-malformed', where: 'certificate' };
    expect(await carrying(bundleOf(good), Uint8Array.of(0))).toMatchObject(broken);
    expect(await carrying(bundleOf(good), leafDer().subarray(0, -1))).toMatchObject(broken);
    expect(await carrying(bundleOf(good), new Uint8Array([...leafDer(), 0]))).toMatchObject(broken);
    expect(await carrying(bundleOf(good).with(0, new Uint8Array(9)), leafDer())).toMatchObject({
      ...broken,
      where: 'cabundle[0]',
    });
  });

  test('a point that is not on the curve', async () => {
    const der = new Uint8Array(leafDer());
    const point = der.findIndex((byte, index) => byte === 0x03 && der[index + 1] === 0x62 && der[index + 3] === 0x04);
    const outcome = await carrying(bundleOf(good), flipByte(der, point + 20));
    expect(outcome).toMatchObject({ kind: 'refused', where: 'certificate' });
    expect(outcome === 'valid' ? outcome : outcome.code).toMatch(/certificate-(key|signature)$/);
  });
});

describe('the envelope', () => {
  const judged = async (document: CborValue | Uint8Array) =>
    verdict(async () =>
      judge(document instanceof Uint8Array ? document : encodeCbor(document), await expectationFor(good)),
    );

  test('flipSignatureByte, first, middle and last', async () => {
    const document = await makeDocument(good);
    for (const position of [-1, -48, -96]) {
      expect(await judged(flipByte(document, position))).toStrictEqual({
        kind: 'refused',
        code: 'attestation/signature',
        where: 'signature',
      });
    }
  });

  test('flipPayloadByte: a PCR that says something else', async () => {
    const document = await makeDocument(good);
    const pcr0 = document.findIndex((byte, index) => byte === 0x58 && document[index + 1] === 48) + 2;
    expect(await judged(flipByte(document, pcr0))).toMatchObject({ code: 'attestation/signature' });
  });

  test.each<readonly [AttestationCode, string, CborValue]>([
    ['attestation/algorithm', 'ES256', new Map([[1, -7]])],
    ['attestation/algorithm', 'what an emulator without keys claims', new Map([[1, -1]])],
    ['attestation/algorithm', 'a large number', new Map([[1, 2 ** 40]])],
    ['attestation/protected-header', 'none', new Map()],
    ['attestation/protected-header', 'a name for a number', new Map([[1, 'ES384']])],
    ['attestation/protected-header', 'a further header', new Map([[1, -35], [4, 1]])], // prettier-ignore
    ['attestation/protected-header', 'no map', [1, -35]],
  ])('%s: %s', async (code, _, header) => {
    expect(await judged(await makeCose(good, { header }))).toMatchObject({ code });
  });

  test('wrong algorithm: refused even where it would verify', async () => {
    const [header, unprotected, payload, signature] = await makeCose(good, { header: new Map([[1, -36]]) });
    expect(await judged([header, unprotected, payload, signature])).toMatchObject({
      kind: 'refused',
      code: 'attestation/algorithm',
    });
  });

  test('form', async () => {
    const [header, unprotected, payload, signature] = await makeCose(good, {});
    expect(await judged([header, unprotected, payload, signature])).toBe('valid');
    const code = async (document: CborValue | Uint8Array): Promise<unknown> => {
      const outcome = await judged(document);
      return outcome === 'valid' ? outcome : [outcome.kind, outcome.code];
    };
    const notCose = ['malformed', 'attestation/not-cose-sign1'];
    expect(await code([header, unprotected, payload])).toStrictEqual(notCose);
    expect(await code([header, unprotected, payload, signature, null])).toStrictEqual(notCose);
    expect(await code([header, unprotected, null, signature])).toStrictEqual(notCose);
    expect(await code(new Map([[1, -35]]))).toStrictEqual(notCose);
    expect(await code('document')).toStrictEqual(notCose);
    const unprotectedHeader = ['malformed', 'attestation/unprotected-header'];
    expect(await code([header, new Map([[4, 'key']]), payload, signature])).toStrictEqual(unprotectedHeader);
    expect(await code([header, null, payload, signature])).toStrictEqual(unprotectedHeader);
    expect(await code([header, unprotected, payload, signature.subarray(1)])).toStrictEqual([
      'refused',
      'attestation/signature',
    ]);
    expect(await code([header, unprotected, payload, new Uint8Array(64)])).toStrictEqual([
      'refused',
      'attestation/signature',
    ]);
    expect(await code([header, unprotected, payload, new Uint8Array()])).toStrictEqual([
      'refused',
      'attestation/signature',
    ]);

    const whole = encodeCbor([header, unprotected, payload, signature]);
    expect(await code(new Uint8Array([0xd2, ...whole]))).toStrictEqual(['malformed', 'attestation/tag']);
    expect(await code(new Uint8Array([...whole, 0]))).toStrictEqual(['malformed', 'attestation/trailing-bytes']);
    expect(await code(new Uint8Array([0x9f, ...whole.subarray(1), 0xff]))).toStrictEqual([
      'malformed',
      'attestation/encoding',
    ]);
    expect(await code(whole.subarray(0, -1))).toStrictEqual(['malformed', 'attestation/truncated']);
    expect(await code(new Uint8Array(20_481))).toStrictEqual(['malformed', 'attestation/too-large']);
    expect(await code([header, unprotected, new Uint8Array(16_385), signature])).toStrictEqual([
      'malformed',
      'attestation/too-large',
    ]);
    expect(await code([header, unprotected, payload, new Uint8Array(1025)])).toStrictEqual([
      'malformed',
      'attestation/too-large',
    ]);
    expect(await code([header, unprotected, payload, new Uint8Array(1024)])).toStrictEqual([
      'refused',
      'attestation/signature',
    ]);
    expect(await code([header, unprotected, new Uint8Array(16_384), signature])).not.toContain('attestation/too-large');
  });
});

describe('the payload, signed as it stands', () => {
  const set =
    (key: string, value: CborValue) =>
    (payload: Payload): void =>
      void payload.set(key, value);
  const drop =
    (key: string) =>
    (payload: Payload): void =>
      void payload.delete(key);
  const bytes = (length: number): Uint8Array => new Uint8Array(length);
  const many = (count: number): CborValue => new Map(Array.from({ length: count }, (_, index) => [index, bytes(48)]));

  test.each<readonly [AttestationCode, string, string, (payload: Payload) => void]>([
    ['attestation/missing-field', 'payload.module_id', 'missing', drop('module_id')],
    ['attestation/missing-field', 'payload.digest', 'missing', drop('digest')],
    ['attestation/missing-field', 'payload.timestamp', 'missing', drop('timestamp')],
    ['attestation/missing-field', 'payload.pcrs', 'missing', drop('pcrs')],
    ['attestation/missing-field', 'payload.certificate', 'missing', drop('certificate')],
    ['attestation/missing-field', 'payload.cabundle', 'missing', drop('cabundle')],
    ['attestation/unknown-field', 'payload.extra', 'one too many', set('extra', 1)],
    ['attestation/digest', 'payload.digest', 'another hash', set('digest', 'SHA512')],
    ['attestation/field-type', 'payload.digest', 'no text', set('digest', 384)],
    ['attestation/field-type', 'payload.module_id', 'no text', set('module_id', bytes(4))],
    ['attestation/field-size', 'payload.module_id', 'empty', set('module_id', '')],
    ['attestation/field-size', 'payload.module_id', 'too long', set('module_id', 'x'.repeat(1025))],
    ['attestation/field-type', 'payload.timestamp', 'no number', set('timestamp', '2026')],
    ['attestation/field-type', 'payload.timestamp', 'beyond 2^53', set('timestamp', 2n ** 63n)],
    ['attestation/field-size', 'payload.timestamp', 'zero', set('timestamp', 0)],
    ['attestation/field-size', 'payload.timestamp', 'negative', set('timestamp', -1)],
    ['attestation/field-size', 'payload.timestamp', 'beyond the year 9999', set('timestamp', 2 ** 52)],
    ['attestation/field-type', 'payload.pcrs', 'no map', set('pcrs', [])],
    ['attestation/field-size', 'payload.pcrs', 'none', set('pcrs', new Map())],
    ['attestation/field-size', 'payload.pcrs.32', 'PCR32', set('pcrs', new Map([[32, bytes(48)]]))],
    ['attestation/field-size', 'payload.pcrs.32', '33 PCRs', set('pcrs', many(33))],
    ['attestation/field-size', 'payload.pcrs.-1', 'PCR-1', set('pcrs', new Map([[-1, bytes(48)]]))],
    ['attestation/field-size', 'payload.pcrs.0', 'a PCR by name', set('pcrs', new Map([['0', bytes(48)]]))],
    ['attestation/field-size', 'payload.pcrs.0', 'a PCR of 47 bytes', set('pcrs', new Map([[0, bytes(47)]]))],
    ['attestation/field-type', 'payload.pcrs.0', 'a PCR in hex', set('pcrs', new Map([[0, '00'.repeat(48)]]))],
    ['attestation/field-size', 'payload.certificate', 'empty', set('certificate', bytes(0))],
    ['attestation/field-size', 'payload.certificate', 'oversized', set('certificate', bytes(1025))],
    ['attestation/field-type', 'payload.certificate', 'null', set('certificate', null)],
    ['attestation/field-type', 'payload.cabundle', 'no array', set('cabundle', bytes(4))],
    ['attestation/field-size', 'payload.cabundle', 'empty', set('cabundle', [])],
    [
      'attestation/field-size',
      'payload.cabundle',
      'seventeen',
      set(
        'cabundle',
        Array.from({ length: 17 }, () => bytes(1)),
      ),
    ],
    ['attestation/field-size', 'payload.cabundle[1]', 'an empty entry', set('cabundle', [bytes(9), bytes(0)])],
    ['attestation/field-size', 'payload.cabundle[0]', 'an oversized entry', set('cabundle', [bytes(1025)])],
    ['attestation/certificate-malformed', 'cabundle[0]', 'an entry of one byte', set('cabundle', [bytes(1)])],
    ['attestation/certificate-malformed', 'cabundle[0]', 'the longest entry', set('cabundle', [bytes(1024)])],
    ['attestation/field-type', 'payload.cabundle[0]', 'an entry that is text', set('cabundle', ['MII'])],
    ['attestation/field-size', 'payload.public_key', 'oversized', set('public_key', bytes(1025))],
    ['attestation/field-size', 'payload.public_key', 'empty', set('public_key', bytes(0))],
    ['attestation/field-size', 'payload.user_data', 'oversized', set('user_data', bytes(1025))],
    ['attestation/field-size', 'payload.nonce', 'oversized', set('nonce', bytes(1025))],
    ['attestation/field-type', 'payload.nonce', 'text', set('nonce', 'nonce')],
  ])('%s: %s: %s', async (code, where, _, edit) => {
    for (const indefinite of [true, false]) {
      const document = await makeEdited(good, edit, indefinite);
      const outcome = await verdict(async () => judge(document, await expectationFor(good)));
      expect(outcome).toStrictEqual({ kind: 'malformed', code, where });
    }
  });

  test.each<readonly [string, (payload: Payload) => void]>([
    ['both encodings', () => {}],
    [
      'absent optionals instead of null',
      (payload) => ['public_key', 'user_data', 'nonce'].forEach((key) => payload.delete(key)),
    ],
    ['null optionals', (payload) => ['public_key', 'user_data', 'nonce'].forEach((key) => payload.set(key, null))],
    ['empty user data and nonce', (payload) => ['user_data', 'nonce'].forEach((key) => payload.set(key, bytes(0)))],
    [
      'fields at their limits',
      (payload) => ['public_key', 'user_data', 'nonce'].forEach((key) => payload.set(key, bytes(1024))),
    ],
    ['32 PCRs', set('pcrs', new Map(Array.from({ length: 32 }, (_, index) => [index, bytes(48).fill(1)])))],
    ['PCRs of 32 and 64 bytes', set('pcrs', new Map([[0, bytes(32).fill(1)], [1, bytes(64).fill(1)], [2, bytes(48).fill(1)]]))], // prettier-ignore
    ['another order of fields', (payload) => void (payload.delete('digest') && payload.set('digest', 'SHA384'))],
  ])('is accepted: %s', async (_, edit) => {
    for (const indefinite of [true, false]) {
      const document = await makeEdited(good, edit, indefinite);
      expect(await verdict(async () => judge(document, await expectationFor(good)))).toBe('valid');
    }
  });

  /** The payload's bytes, edited, and signed as they are. */
  const raw = async (edit: (payload: Uint8Array) => Uint8Array) => {
    const payload = encodePayload(CLAIMS, leafOf(good).certificate, bundleOf(good));
    return verdict(async () => judge(await signDocument(edit(payload), leafOf(good)), await expectationFor(good)));
  };
  const digest = encodeCbor(new Map([['digest', 'SHA384']])).subarray(1);
  const before = (payload: Uint8Array, inserted: Uint8Array): Uint8Array =>
    new Uint8Array([0xbf, ...inserted, ...payload.subarray(1)]);

  test('a key that stands twice, though both say the same', async () => {
    expect(await raw((payload) => before(payload, digest))).toMatchObject({
      kind: 'malformed',
      code: 'attestation/duplicate-key',
    });
  });

  test('extra bytes, missing bytes, tags, floats, chunked strings', async () => {
    const code = async (edit: (payload: Uint8Array) => Uint8Array): Promise<unknown> => {
      const outcome = await raw(edit);
      return outcome === 'valid' ? outcome : outcome.code;
    };
    expect(await code((payload) => payload)).toBe('valid');
    expect(await code((payload) => new Uint8Array([...payload, 0]))).toBe('attestation/trailing-bytes');
    expect(await code((payload) => payload.subarray(0, -1))).toBe('attestation/truncated');
    expect(await code((payload) => new Uint8Array([0xc6, ...payload]))).toBe('attestation/tag');
    expect(await code((payload) => before(payload, Uint8Array.of(0x61, 0x78, 0xf9, 0, 0)))).toBe(
      'attestation/encoding',
    );
    expect(await code((payload) => before(payload, Uint8Array.of(0x61, 0x78, 0x5f, 0xff)))).toBe(
      'attestation/encoding',
    );
    expect(await code(() => Uint8Array.of(0x80))).toBe('attestation/field-type');
    expect(await code(() => new Uint8Array())).toBe('attestation/truncated');
  });
});

describe('expectations', () => {
  const DIGEST = 'ab'.repeat(48) as PolicyDigest; // oxlint-disable-line typescript/no-unsafe-type-assertion -- a test's own
  const hex = (fill: number): string => fill.toString(16).padStart(2, '0').repeat(48);
  const outcome = async (overrides: Partial<Expectation>, claims: Partial<typeof CLAIMS> = {}) =>
    verdict(async () => judge(await makeDocument(good, claims), await expectationFor(good, overrides)));
  const zeros = new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)]));

  test('everything stated and met leaves nothing unchecked', async () => {
    const userData = encodeUserData(DIGEST);
    const expectation = await expectationFor(good, {
      pcrs: { 0: hex(1), 1: hex(2).toUpperCase(), 2: hex(3), 4: hex(5) },
      nonce: new Uint8Array(32).fill(9),
      policyDigest: DIGEST,
      maxAgeMs: 60_000,
      at: new Date(NOW + 60_000),
    });
    const verified = await judge(await makeDocument(good, { userData }), expectation);
    expect(verified.notChecked).toStrictEqual([]);
    expect(verified.document.moduleId).toBe(CLAIMS.moduleId);
  });

  test('PCRs', async () => {
    const pcrs = { 0: hex(1), 1: hex(2), 2: hex(3) };
    expect(await outcome({ pcrs })).toBe('valid');
    expect(await outcome({ pcrs: { ...pcrs, 2: hex(4) } })).toMatchObject({
      code: 'attestation/pcr-mismatch',
      where: 'payload.pcrs.2',
    });
    expect(await outcome({ pcrs: { ...pcrs, 8: hex(0) } })).toMatchObject({
      code: 'attestation/pcr-missing',
      where: 'payload.pcrs.8',
    });
    expect(await outcome({ pcrs: { ...pcrs, 2: notChecked('on purpose') } })).toBe('valid');
    expect(await outcome({}, { pcrs: new Map([[0, new Uint8Array(48).fill(1)]]) })).toMatchObject({
      code: 'attestation/pcr-missing',
      where: 'payload.pcrs.1',
    });
  });

  test('debug mode: zeros in any of the image PCRs, refused unless the verifier allows it', async () => {
    expect(await outcome({}, { pcrs: zeros })).toMatchObject({ kind: 'refused', code: 'attestation/debug' });
    for (const index of [0, 1, 2]) {
      const pcrs = new Map(CLAIMS.pcrs).set(index, new Uint8Array(48));
      expect(await outcome({}, { pcrs })).toMatchObject({ code: 'attestation/debug' });
    }
    expect(await outcome({ pcrs: { 0: hex(0), 1: hex(0), 2: hex(0) } }, { pcrs: zeros })).toMatchObject({
      code: 'attestation/debug',
    });
    const verified = await judge(
      await makeDocument(good, { pcrs: zeros }),
      await expectationFor(good, { allowDebug: true }),
    );
    expect(verified.debug).toBe(true);
  });

  test('pins that allow debug mode: zeros say nothing, and nothing else is let off', async () => {
    const unless = (fill: number) => ({ unlessDebug: hex(fill) });
    const pcrs = { 0: unless(1), 1: unless(2), 2: unless(3) };
    expect(await outcome({ pcrs })).toBe('valid');
    expect(await outcome({ pcrs: { ...pcrs, 1: unless(9) }, allowDebug: true })).toMatchObject({
      code: 'attestation/pcr-mismatch',
      where: 'payload.pcrs.1',
    });
    // PCR3 holds zeros in any mode; only those of the image tell.
    expect(await outcome({ pcrs: { ...pcrs, 3: unless(1) }, allowDebug: true })).toMatchObject({
      code: 'attestation/pcr-mismatch',
      where: 'payload.pcrs.3',
    });
    const debug = await judge(
      await makeDocument(good, { pcrs: zeros }),
      await expectationFor(good, { pcrs, allowDebug: true, nonce: new Uint8Array(32).fill(9) }),
    );
    expect(debug.debug).toBe(true);
    expect(debug.notChecked.filter(({ what }) => what.startsWith('PCR'))).toStrictEqual(
      [0, 1, 2].map((index) => ({ what: `PCR${index}`, why: expect.stringContaining('debug mode') })),
    );
    expect(await outcome({ pcrs }, { pcrs: zeros })).toMatchObject({ code: 'attestation/debug' });
    const half = new Map(CLAIMS.pcrs).set(0, new Uint8Array(48)).set(2, new Uint8Array(48).fill(7));
    expect(await outcome({ pcrs, allowDebug: true }, { pcrs: half })).toMatchObject({
      code: 'attestation/pcr-mismatch',
      where: 'payload.pcrs.2',
    });
    // A register that begins with zeros is not one of zeros.
    const almost = new Map(CLAIMS.pcrs).set(0, flipByte(new Uint8Array(48), -1));
    expect(await outcome({ pcrs, allowDebug: true }, { pcrs: almost })).toMatchObject({
      code: 'attestation/pcr-mismatch',
      where: 'payload.pcrs.0',
    });
  });

  test('nonce', async () => {
    expect(await outcome({ nonce: new Uint8Array(32).fill(9) })).toBe('valid');
    expect(await outcome({ nonce: new Uint8Array(32).fill(8) })).toMatchObject({ code: 'attestation/nonce-mismatch' });
    expect(await outcome({ nonce: new Uint8Array(31).fill(9) })).toMatchObject({ code: 'attestation/nonce-mismatch' });
    const without = await makeEdited(good, (payload) => payload.set('nonce', null));
    const expectation = await expectationFor(good, { nonce: new Uint8Array() });
    expect(await verdict(() => judge(without, expectation))).toMatchObject({ code: 'attestation/nonce-missing' });
  });

  test('policy digest', async () => {
    const expected = { policyDigest: DIGEST };
    expect(await outcome(expected, { userData: encodeUserData(DIGEST) })).toBe('valid');
    const other = 'cd'.repeat(48) as PolicyDigest; // oxlint-disable-line typescript/no-unsafe-type-assertion -- a test's own
    expect(await outcome(expected, { userData: encodeUserData(other) })).toMatchObject({
      code: 'attestation/policy-mismatch',
    });
    expect(await outcome(expected, { userData: new Uint8Array(61) })).toMatchObject({ code: 'attestation/user-data' });
    expect(await outcome(expected, { userData: new Uint8Array() })).toMatchObject({ code: 'attestation/user-data' });
  });

  test('age', async () => {
    const at = new Date(NOW + 10_000);
    expect(await outcome({ at, maxAgeMs: 10_000 })).toBe('valid');
    expect(await outcome({ at, maxAgeMs: 9_999 })).toMatchObject({ code: 'attestation/stale' });
    expect(await outcome({ at: new Date(NOW - 1), maxAgeMs: 10_000 })).toMatchObject({
      code: 'attestation/from-the-future',
    });
    expect(await outcome({ at: new Date(NOW - 1), maxAgeMs: 10_000, skewMs: 1 })).toBe('valid');
    expect(await outcome({ at, maxAgeMs: 8_000, skewMs: 2_000 })).toBe('valid');
    expect(await outcome({ at, maxAgeMs: 8_000, skewMs: 1_999 })).toMatchObject({ code: 'attestation/stale' });
    expect(await outcome({ at: new Date(NOW - 4_000), skewMs: 0 })).toMatchObject({
      code: 'attestation/not-yet-valid',
    });
    expect(await outcome({ at: new Date(NOW - 4_000), skewMs: 5_000 })).toBe('valid');
  });

  test('a certificate is as old as the difference of clocks allows, and no older', async () => {
    const chain = await makeChain({ leaf: (spec) => ({ ...spec, notBefore: NOW - DAY, notAfter: NOW - 5_000 }) });
    const judged = async (skewMs: number) =>
      verdict(async () => judge(await makeDocument(chain), await expectationFor(chain, { skewMs })));
    expect(await judged(5_000)).toBe('valid');
    expect(await judged(4_000)).toMatchObject({ code: 'attestation/expired', where: 'certificate' });
  });

  test('roots: any of several; a local one never passes for AWS', async () => {
    const { roots } = await expectationFor(good);
    expect(await outcome({ roots: [awsRoot, ...roots] })).toBe('valid');
    expect(await outcome({ roots: [awsRoot] })).toMatchObject({ code: 'attestation/unknown-root' });
    const verified = await judge(await makeDocument(good), await expectationFor(good, { roots: [awsRoot, ...roots] }));
    expect(verified.root).toStrictEqual({ kind: 'local', sha256: at(roots, 0).sha256 });
  });

  test.each<readonly [string, Partial<Expectation>]>([
    ['no root', { roots: [] }],
    ['no date', { at: new Date(Number.NaN) }],
    ['a negative age', { maxAgeMs: -1 }],
    ['an age that is no number', { maxAgeMs: Number.NaN }],
    ['a negative difference of clocks', { skewMs: -1 }],
    ['a PCR of 47 bytes', { pcrs: { 0: 'ab'.repeat(47), 1: hex(0), 2: hex(0) } }],
    ['an empty PCR', { pcrs: { 0: '', 1: hex(0), 2: hex(0) } }],
    ['PCR32', { pcrs: { 0: hex(0), 1: hex(0), 2: hex(0), 32: hex(0) } }],
  ])('an impossible expectation is a slip, not a verdict: %s', async (_, overrides) => {
    expect(await outcome(overrides)).toMatchObject({ kind: 'usage', code: 'attestation/expectation' });
  });

  test('a root is pinned by a whole SHA-256', () => {
    expect(() => localRoot('ab')).toThrow('32 bytes');
    expect(localRoot('AB'.repeat(32)).sha256).toBe('ab'.repeat(32));
  });
});

test('nothing of the caller is referred to after parsing', async () => {
  const bytes = await makeDocument(good);
  const document = parseAttestation(bytes);
  bytes.fill(0);
  const { verifyAttestation } = await import('../../../parties/attestation/verify.ts');
  expect(await verdict(async () => verifyAttestation(document, await expectationFor(good)))).toBe('valid');
});
