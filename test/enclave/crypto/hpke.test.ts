/** Held against the published vectors of RFC 9180, and against a second key schedule written from the RFC here. */
import { createDecipheriv, createPrivateKey, createPublicKey, diffieHellman, createHmac } from 'node:crypto';
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from 'hpke';
import { describe, expect, test } from 'vitest';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { generateKeyPair, setupRecipient, setupSender } from '../../../enclave/crypto/hpke.ts';
import type { HpkeKeyPair } from '../../../enclave/crypto/hpke.ts';
import { fromHex, toHex } from '../../../enclave/encoding/hex.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** RFC 9180, appendix A.1.1: the KEM part, which is that of our suite. */
const KEM = {
  ikmE: '7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234',
  pkEm: '37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431',
  skEm: '52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736',
  ikmR: '6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037',
  pkRm: '3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d',
  skRm: '4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8',
};

/** The published vectors of RFC 9180 (mode_base, KEM 0x0020, KDF 0x0001, AEAD 0x0002): our very suite. */
const SUITE = {
  info: '4f6465206f6e2061204772656369616e2055726e',
  skRm: '4f8282f1b30e39a5d7f3fcccf73d8044a09d89ac168c1929f179e2e93e20b8ae',
  pkRm: 'ac66bae9ffa270cf4a89ed9f274e30c0456babae2572aaaf002ff0d8884ab018',
  enc: '8e806d41aecfcece96a6b47f1e488a3ac6e48090d9b634355c705dd34311d900',
  plaintext: '4265617574792069732074727574682c20747275746820626561757479',
  encryptions: [
    ['436f756e742d30', '23ded2d5d90ea89d975dac4792b297240f194952d7421aacbff0474100052b6bb8aa58d18ef6c42b6960e2e28f'],
    ['436f756e742d31', 'ced7f6e355712d722a7354968e5e83f1c77814fd2816a8fa4a6aed2dfd3297815d7dcd21ef905230cfbadd1cde'],
    ['436f756e742d32', '842cf2d63d152ebbbe7a1ecc39671d0efb328e0b05c592ea7be59819f0567662783587fcb1deb96f2cad51e56c'],
    ['436f756e742d33', 'e87dd08563e2df517d7fd46ceaf54cd1b60e664f5e14cb0c8d292528c558ee36131ab36e79d9fcb4b23a22ba6f'],
    ['436f756e742d34', 'e772130cdbaf62e2aa8ff78078f84c7dce3b16ebd970d4997b6117d736843d7fc3b712108c4912086e510099e7'],
    ['436f756e742d35', 'eb2776c69528944280c469c34fb26c7b865506c14c5429ae02a7fb7a8e8f611292a74a4c0f0eaba91f4f0adceb'],
  ],
} as const;

async function keysFrom(secret: string, publicKey: string): Promise<HpkeKeyPair> {
  const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
  const pair = {
    privateKey: await suite.DeserializePrivateKey(fromHex(secret), true),
    publicKey: await suite.DeserializePublicKey(fromHex(publicKey)),
  };
  return { publicKey: fromHex(publicKey), pair };
}

const seed = (hex: string) => (): Uint8Array => fromHex(hex);

describe('RFC 9180', () => {
  test('key pairs are derived as section 7.1.3 says', async () => {
    expect(toHex((await generateKeyPair(seed(KEM.ikmR))).publicKey)).toBe(KEM.pkRm);
    expect(toHex((await generateKeyPair(seed(KEM.ikmE))).publicKey)).toBe(KEM.pkEm);
  });

  test('the encapsulation is the vector’s, given its ephemeral input', async () => {
    const { enc } = await setupSender(fromHex(KEM.pkRm), fromHex(SUITE.info), seed(KEM.ikmE));
    expect(toHex(enc)).toBe(KEM.pkEm);
  });

  test('the published ciphertexts of our suite open in order', async () => {
    const context = await setupRecipient(
      await keysFrom(SUITE.skRm, SUITE.pkRm),
      fromHex(SUITE.enc),
      fromHex(SUITE.info),
    );
    for (const [aad, ciphertext] of SUITE.encryptions) {
      expect(toHex(await context.Open(fromHex(ciphertext), fromHex(aad)))).toBe(SUITE.plaintext);
    }
  });
});

describe('a second implementation, from the text of the RFC', () => {
  const suiteId = concat(text('HPKE'), Uint8Array.of(0, 0x20, 0, 1, 0, 2));
  const kemId = concat(text('KEM'), Uint8Array.of(0, 0x20));
  const hmac = (key: Uint8Array, data: Uint8Array): Uint8Array =>
    new Uint8Array(createHmac('sha256', key).update(data).digest());
  const labeledExtract = (id: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array =>
    hmac(salt.length === 0 ? new Uint8Array(32) : salt, concat(text('HPKE-v1'), id, text(label), ikm));
  const labeledExpand = (id: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, L: number): Uint8Array => {
    const labeled = concat(Uint8Array.of(L >> 8, L & 255), text('HPKE-v1'), id, text(label), info);
    let output: Uint8Array = new Uint8Array(0);
    let block: Uint8Array = new Uint8Array(0);
    for (let i = 1; output.length < L; i++) {
      block = hmac(prk, concat(block, labeled, Uint8Array.of(i)));
      output = concat(output, block);
    }
    return output.slice(0, L);
  };
  const nothing = new Uint8Array(0);
  const x25519 = (secret: Uint8Array, publicKey: Uint8Array): Uint8Array => {
    const pkcs8 = concat(fromHex('302e020100300506032b656e04220420'), secret);
    const spki = concat(fromHex('302a300506032b656e032100'), publicKey);
    return new Uint8Array(
      diffieHellman({
        privateKey: createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' }),
        publicKey: createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }),
      }),
    );
  };
  const schedule = (shared: Uint8Array, info: Uint8Array) => {
    const context = concat(
      Uint8Array.of(0),
      labeledExtract(suiteId, nothing, 'psk_id_hash', nothing),
      labeledExtract(suiteId, nothing, 'info_hash', info),
    );
    const secret = labeledExtract(suiteId, shared, 'secret', nothing);
    return {
      key: labeledExpand(suiteId, secret, 'key', context, 32),
      nonce: labeledExpand(suiteId, secret, 'base_nonce', context, 12),
      exporter: labeledExpand(suiteId, secret, 'exp', context, 32),
    };
  };
  const decapsulate = (enc: Uint8Array, secret: Uint8Array, publicKey: Uint8Array): Uint8Array => {
    const eaePrk = labeledExtract(kemId, nothing, 'eae_prk', x25519(secret, enc));
    return labeledExpand(kemId, eaePrk, 'shared_secret', concat(enc, publicKey), 32);
  };
  const openGcm = (key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array => {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAuthTag(sealed.subarray(-16));
    return new Uint8Array(Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]));
  };

  test('agrees with the vector, so that it may judge', () => {
    const shared = decapsulate(fromHex(KEM.pkEm), fromHex(KEM.skRm), fromHex(KEM.pkRm));
    expect(toHex(shared)).toBe('fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc');
  });

  test('opens what we seal, and exports what we export', async () => {
    const info = text('bound to this');
    const { enc, context } = await setupSender(fromHex(KEM.pkRm), info, seed(KEM.ikmE));
    const { key, nonce, exporter } = schedule(decapsulate(enc, fromHex(KEM.skRm), fromHex(KEM.pkRm)), info);
    expect(openGcm(key, nonce, await context.Seal(text('first')))).toEqual(text('first'));
    const second = nonce.map((byte, i) => (i === 11 ? byte ^ 1 : byte));
    expect(openGcm(key, second, await context.Seal(text('second')))).toEqual(text('second'));
    for (const length of [1, 32, 44]) {
      const ours = await context.Export(text('accord/v1/answers'), length);
      expect(ours).toEqual(labeledExpand(suiteId, exporter, 'sec', text('accord/v1/answers'), length));
    }
  });
});

describe('what no honest peer sends', () => {
  // RFC 7748, section 6.1: points of small order give an all-zero secret.
  const SMALL_ORDER = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ];

  test.each(SMALL_ORDER)('public key of small order %s', async (point) => {
    await expect(setupSender(fromHex(point), new Uint8Array(0), seed(KEM.ikmE))).rejects.toMatchObject({
      code: 'hpke/bad-key',
      kind: 'refused',
    });
  });

  test.each(SMALL_ORDER)('encapsulation of small order %s', async (point) => {
    const keys = await generateKeyPair(seed(KEM.ikmR));
    await expect(setupRecipient(keys, fromHex(point), new Uint8Array(0))).rejects.toMatchObject({
      code: 'hpke/bad-encapsulation',
    });
  });

  test.each([0, 31, 33, 64])('a key of %i bytes', async (length) => {
    const keys = await generateKeyPair(seed(KEM.ikmR));
    const wrong = new Uint8Array(length).fill(9);
    await expect(setupSender(wrong, new Uint8Array(0), seed(KEM.ikmE))).rejects.toMatchObject({ code: 'hpke/bad-key' });
    await expect(setupRecipient(keys, wrong, new Uint8Array(0))).rejects.toMatchObject({
      code: 'hpke/bad-encapsulation',
    });
  });
});

test('the private key cannot be taken out', async () => {
  const { pair } = await generateKeyPair(seed(KEM.ikmR));
  expect(pair.privateKey.extractable).toBe(false);
});
