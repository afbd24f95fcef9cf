/**
 * The parties' KMS keys, behind a link that may fail: opens what it sealed itself, for the context it was sealed with,
 * and answers in the real form to whom the attestation names. What key policies decide is tested elsewhere; here a key
 * is in force or withdrawn.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import type { Kms, KmsGenerate } from '../../../enclave/kms/client.ts';
import { CONTEXT_KEYS } from '../../../enclave/protocol/context.ts';
import { canonicalize } from '../../../policies/canonical.ts';
import { Failure } from '../../../policies/failure.ts';
import { OIDS, writeEnvelopedData } from '../../enclave/kms/enveloped-data.ts';
import type { Link } from './link.ts';
import { encryptTo } from './platform.ts';
import type { Prng } from './prng.ts';
import type { Process } from './process.ts';

type Context = Readonly<Record<string, string>>;

export interface SimulatedKms {
  /** The port, for one program over its own link, whose attested key has this secret and this identifier. */
  port(from: Process, link: Link, recipient: { readonly secret: Uint8Array; readonly id: Uint8Array }): Kms;
  /** What a party's own KMS does for the party itself. */
  encrypt(keyArn: string, plaintext: Uint8Array, context: Context): Uint8Array;
  /** Keys that open nothing any more. */
  readonly withdrawn: Set<string>;
  /** Purposes for which a withdrawn key opens nevertheless: none, but in a weakened world. */
  lenient: boolean;
}

export function createSimulatedKms(random: Prng): SimulatedKms {
  const secret = random.bytes(32);
  const keyOf = (keyArn: string): Buffer => createHash('sha256').update(secret).update(keyArn).digest();
  const aadOf = (context: Context): Buffer => Buffer.from(canonicalize(context));

  const open = (keyArn: string, ciphertext: Uint8Array, context: Context): Uint8Array => {
    try {
      const decipher = createDecipheriv('aes-256-gcm', keyOf(keyArn), ciphertext.subarray(0, 12));
      decipher.setAAD(aadOf(context)).setAuthTag(ciphertext.subarray(12, 28));
      return Buffer.concat([decipher.update(ciphertext.subarray(28)), decipher.final()]);
    } catch {
      throw refused('InvalidCiphertextException');
    }
  };
  const envelope = (
    to: { readonly secret: Uint8Array; readonly id: Uint8Array },
    plaintext: Uint8Array,
  ): Uint8Array => {
    const contentKey = random.bytes(32);
    const iv = random.bytes(16);
    const cipher = createCipheriv('aes-256-cbc', contentKey, iv);
    return writeEnvelopedData(
      {
        outerType: OIDS.envelopedData,
        version: 2,
        recipientVersion: 2,
        recipient: to.id,
        keyAlgorithm: OIDS.oaep,
        oaepHash: OIDS.sha256,
        maskHash: OIDS.sha256,
        encryptedKey: encryptTo(to.secret, contentKey),
        contentType: OIDS.data,
        cipher: OIDS.aes256,
        iv,
        ciphertext: Buffer.concat([cipher.update(plaintext), cipher.final()]),
      },
      'primitive',
    );
  };

  const kms: SimulatedKms = {
    withdrawn: new Set(),
    lenient: false,
    encrypt(keyArn, plaintext, context) {
      const iv = random.bytes(12);
      const cipher = createCipheriv('aes-256-gcm', keyOf(keyArn), iv).setAAD(aadOf(context));
      const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      return new Uint8Array(Buffer.concat([iv, cipher.getAuthTag(), sealed]));
    },
    port(from, link, recipient) {
      const ask = <T>(
        what: string,
        { keyArn, context }: KmsGenerate,
        signal: AbortSignal,
        answer: () => T,
      ): Promise<T> => {
        const effect = (): T => {
          if (kms.withdrawn.has(keyArn) && !kms.lenient) throw refused('AccessDeniedException');
          return answer();
        };
        const purpose = (): string => `${what} ${context[CONTEXT_KEYS.purpose]} of ${context[CONTEXT_KEYS.party]}`;
        return link.request({ from, what: purpose, signal, effect, failed: unavailable });
      };
      return {
        decrypt: (request, signal) =>
          ask('to decrypt', request, signal, () => {
            const { keyArn, ciphertext, context } = request;
            const plaintext = open(keyArn, ciphertext, context);
            return { keyArn, algorithm: 'SYMMETRIC_DEFAULT', envelope: envelope(recipient, plaintext) };
          }),
        generateDataKey: (request, signal) =>
          ask('for a data key', request, signal, () => {
            const dataKey = random.bytes(32);
            const { keyArn, context } = request;
            return {
              keyArn,
              ciphertext: kms.encrypt(keyArn, dataKey, context),
              envelope: envelope(recipient, dataKey),
            };
          }),
      };
    },
  };
  return kms;
}

function refused(name: string): Failure {
  return new Failure('refused', 'kms/refused', 'KMS refused the enclave', { where: name });
}

function unavailable(why: 'timeout' | 'error'): Failure {
  return new Failure('environment', 'kms/unavailable', 'KMS could not be reached', { where: why });
}
