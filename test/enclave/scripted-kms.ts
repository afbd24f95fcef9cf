/**
 * KMS as an argument: opens what it sealed itself, with the checks a key policy would make and the answer's real form.
 * What real key policies decide is tested against AWS in miniature; here KMS does as it is told.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { Kms, KmsDecrypt, KmsDecrypted, KmsGenerate, KmsGenerated } from '../../enclave/kms/client.ts';
import { canonicalize } from '../../policies/canonical.ts';
import { Failure } from '../../policies/failure.ts';
import { parseAttestation } from '../../parties/attestation/verify.ts';
import { envelopedParts, writeEnvelopedData } from './kms/enveloped-data.ts';
import type { Form } from './kms/enveloped-data.ts';

export interface ScriptedKms extends Kms {
  /** What a party's own KMS does. */
  encrypt(keyArn: string, plaintext: Uint8Array, context: Readonly<Record<string, string>>): Uint8Array;
  /** What the enclave asked to decrypt, oldest first. */
  readonly requests: KmsDecrypt[];
  /** Looks at each request first; throws, or changes the reply, or waits. */
  script: (request: KmsDecrypt, reply: () => Promise<KmsDecrypted>) => Promise<KmsDecrypted>;
  /** Data keys that the enclave asked for, oldest first. */
  readonly generates: KmsGenerate[];
  /** As `script`. */
  scriptGenerate: (request: KmsGenerate, reply: () => Promise<KmsGenerated>) => Promise<KmsGenerated>;
}

export function createScriptedKms(form: Form = 'indefinite'): ScriptedKms {
  const secret = randomBytes(32);
  const keyOf = (keyArn: string): Buffer => createHash('sha256').update(secret).update(keyArn).digest();
  const aadOf = (context: Readonly<Record<string, string>>): Buffer => Buffer.from(canonicalize(context));

  const open = (request: KmsDecrypt): Uint8Array => {
    try {
      const { ciphertext } = request;
      const decipher = createDecipheriv('aes-256-gcm', keyOf(request.keyArn), ciphertext.subarray(0, 12));
      decipher.setAAD(aadOf(request.context)).setAuthTag(ciphertext.subarray(12, 28));
      return new Uint8Array(Buffer.concat([decipher.update(ciphertext.subarray(28)), decipher.final()]));
    } catch {
      throw kmsRefused('InvalidCiphertextException');
    }
  };

  const envelopeFor = async (attestation: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array> => {
    const spki = parseAttestation(attestation).publicKey;
    if (spki === undefined) throw kmsRefused('ValidationException');
    return writeEnvelopedData(await envelopedParts(spki, plaintext), form);
  };

  const kms: ScriptedKms = {
    requests: [],
    script: (_, reply) => reply(),
    generates: [],
    scriptGenerate: (_, reply) => reply(),
    encrypt(keyArn, plaintext, context) {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', keyOf(keyArn), iv).setAAD(aadOf(context));
      const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      return new Uint8Array(Buffer.concat([iv, cipher.getAuthTag(), sealed]));
    },
    decrypt(request) {
      kms.requests.push(request);
      return kms.script(request, async () => {
        const envelope = await envelopeFor(request.attestation, open(request));
        return { keyArn: request.keyArn, algorithm: 'SYMMETRIC_DEFAULT', envelope };
      });
    },
    generateDataKey(request) {
      kms.generates.push(request);
      return kms.scriptGenerate(request, async () => {
        const dataKey = new Uint8Array(randomBytes(32));
        const envelope = await envelopeFor(request.attestation, dataKey);
        return { keyArn: request.keyArn, ciphertext: kms.encrypt(request.keyArn, dataKey, request.context), envelope };
      });
    },
  };
  return kms;
}

export function kmsRefused(name = 'AccessDeniedException'): Failure {
  return new Failure('refused', 'kms/refused', 'KMS refused the enclave', { where: name });
}

export function kmsUnavailable(): Failure {
  return new Failure('environment', 'kms/unavailable', 'KMS could not be reached', { where: 'TimeoutError' });
}
