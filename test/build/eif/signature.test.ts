import { createHash, generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { parseSignature } from '../../../build/eif/signature.ts';
import { encodeEif } from './encode-eif.ts';
import { issueCertificate } from '../../../orchestrator/local/pki.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import { FIELDS, SECTIONS, noise, text } from './samples.ts';

const octets = (bytes: Uint8Array): readonly number[] => [...bytes];
const section = (...pairs: readonly (readonly [string, Uint8Array | readonly number[]])[]): Uint8Array =>
  encodeCbor([new Map(pairs)]);

let pem = '';
let der = new Uint8Array();
const sound = (): Uint8Array => section(['signing_certificate', octets(text(pem))], ['signature', octets(noise(120))]);

beforeAll(async () => {
  const { certificate } = await issueCertificate({
    subject: 'CN=signer',
    notBefore: Date.UTC(2026),
    notAfter: Date.UTC(2036),
  });
  der = Uint8Array.from(certificate);
  pem = `-----BEGIN CERTIFICATE-----\n${(
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  ).join('\n')}\n-----END CERTIFICATE-----\n`;
});

describe('the signature section', () => {
  test('gives PCR8: the zero register extended by the digest of the certificate in DER', async () => {
    expect(parseSignature(sound())).toEqual({ certificate: der, signature: noise(120) });
    const digest = createHash('sha384').update(der).digest();
    const expected = createHash('sha384').update(new Uint8Array(48)).update(digest).digest('hex');
    const unsigned = await measureEif(encodeEif(FIELDS, SECTIONS));
    const signed = await measureEif(encodeEif(FIELDS, [...SECTIONS, { kind: 'signature', content: sound() }]));
    expect(signed).toEqual({ ...unsigned, PCR8: expected });
    expect(unsigned.PCR8).toBeUndefined();
  });

  test.each<readonly [string, () => Uint8Array]>([
    ['empty', () => new Uint8Array()],
    ['noise', () => noise(64)],
    ['no array', () => encodeCbor(new Map([['signature', 1]]))],
    ['no signature', () => encodeCbor([])],
    ['two signatures, of which loaders look at one', () => encodeCbor([new Map([['a', 1]]), new Map([['b', 2]])])],
    ['trailing bytes', () => Buffer.concat([sound(), Uint8Array.of(0)])],
    [
      'a byte string instead of an array',
      () => section(['signing_certificate', text(pem)], ['signature', octets(noise(9))]),
    ],
    ['numbers that are no bytes', () => section(['signing_certificate', [256]], ['signature', [1]])],
    ['no certificate', () => section(['signature', octets(noise(9))])],
    [
      'a key nobody knows',
      () =>
        encodeCbor([
          new Map([
            ['signing_certificate', octets(text(pem))],
            ['signature', [1]],
            ['x', [1]],
          ]),
        ]),
    ],
    ['no PEM', () => section(['signing_certificate', octets(der)], ['signature', [1]])],
    ['two certificates', () => section(['signing_certificate', octets(text(pem + pem))], ['signature', [1]])],
    [
      'text before the certificate',
      () => section(['signing_certificate', octets(text(`x\n${pem}`))], ['signature', [1]]),
    ],
    [
      'a key instead of a certificate',
      () => {
        const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
        const spki = String(publicKey.export({ type: 'spki', format: 'pem' })).replaceAll('PUBLIC KEY', 'CERTIFICATE');
        return section(['signing_certificate', octets(text(spki))], ['signature', [1]]);
      },
    ],
    [
      'bytes behind the certificate',
      () => {
        const body = Buffer.concat([der, Uint8Array.of(5, 0)]).toString('base64');
        return section(
          ['signing_certificate', octets(text(`-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`))],
          ['signature', [1]],
        );
      },
    ],
  ])('is refused: %s', async (_name, make) => {
    const content = make();
    expect(() => parseSignature(content)).toThrow(
      expect.objectContaining({ code: 'eif/signature', kind: 'malformed' }),
    );
    const signed = measureEif(encodeEif(FIELDS, [...SECTIONS, { kind: 'signature', content }]));
    await expect(signed).rejects.toMatchObject({ code: 'eif/signature' });
  });
});
