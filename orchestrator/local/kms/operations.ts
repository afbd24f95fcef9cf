/**
 * The cryptographic operations. Each is three steps: read the request, ask IAM with everything the request says, compute.
 * With a `Recipient` the plaintext leaves only inside an envelope for the attested key.
 */
import { randomBytes } from 'node:crypto';
import type { EncryptionContext } from '../../../enclave/protocol/context.ts';
import { AwsError } from '../errors.ts';
import type { KmsKey } from '../state.ts';
import type { JsonObject } from '../wire/json.ts';
import { authorizeAccountAction, authorizedKey, authorizeOnKey } from './authorize.ts';
import type { KmsCall, Operation } from './call.ts';
import { decryptBlob, encryptBlob, keyIdOf } from './ciphertext.ts';
import { envelopeFor } from './envelope.ts';
import { readGrantTokens } from './grants.ts';
import { KEY_ID, liveKeys, materialId, resolveKeyArn } from './key-ids.ts';
import type { AttestedRecipient } from './recipient.ts';

const ALGORITHMS = ['SYMMETRIC_DEFAULT', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE'];
const SYMMETRIC = 'SYMMETRIC_DEFAULT';
const CIPHERTEXT = { min: 1, max: 6144 } as const;
/** Encrypt takes at most 4096 bytes. */
const PLAINTEXT = { min: 1, max: 4096 } as const;
const ATTESTATION = { min: 1, max: 262_144 } as const;

export const encrypt: Operation = async (call) => {
  const { input } = call;
  const keyId = input.text('KeyId', KEY_ID);
  const plaintext = input.blob('Plaintext', PLAINTEXT);
  const context = readContext(call, 'EncryptionContext');
  readGrantTokens(call);
  const algorithm = readAlgorithm(call, 'EncryptionAlgorithm');
  input.done();
  const key = authorizedKey(call, keyId, 'kms:Encrypt', { encryptionContext: context, more: algorithmKey });
  usable(key, algorithm);
  dryRun(call);
  return {
    CiphertextBlob: encryptBlob(key, plaintext, context).toString('base64'),
    KeyId: key.arn,
    EncryptionAlgorithm: SYMMETRIC,
  };
};

export const decrypt: Operation = async (call) => {
  const { input } = call;
  const blob = input.blob('CiphertextBlob', CIPHERTEXT);
  const keyId = input.text('KeyId', { ...KEY_ID, optional: true });
  const context = readContext(call, 'EncryptionContext');
  readGrantTokens(call);
  const algorithm = readAlgorithm(call, 'EncryptionAlgorithm');
  const recipient = await readRecipient(call);
  input.done();
  const key = openingKey(call, blob, keyId, 'kms:Decrypt', {
    encryptionContext: context,
    recipient,
    more: algorithmKey,
  });
  usable(key, algorithm);
  const plaintext = opened(key, blob, context);
  dryRun(call);
  return { KeyId: key.arn, EncryptionAlgorithm: SYMMETRIC, ...handedOut(plaintext, recipient, key) };
};

export const reEncrypt: Operation = async (call) => {
  const { input } = call;
  const blob = input.blob('CiphertextBlob', CIPHERTEXT);
  const sourceId = input.text('SourceKeyId', { ...KEY_ID, optional: true });
  const destinationId = input.text('DestinationKeyId', KEY_ID);
  const from = readContext(call, 'SourceEncryptionContext');
  const to = readContext(call, 'DestinationEncryptionContext');
  readGrantTokens(call);
  const fromAlgorithm = readAlgorithm(call, 'SourceEncryptionAlgorithm');
  const toAlgorithm = readAlgorithm(call, 'DestinationEncryptionAlgorithm');
  input.done();
  // Re-encryption takes no attestation document: what names one in a condition never finds it here.
  const same = blobKey(call, blob)?.arn === resolveKeyArn(destinationId, call);
  const more = { ...algorithmKey, 'kms:ReEncryptOnSameKey': [String(same)] };
  const source = openingKey(call, blob, sourceId, 'kms:ReEncryptFrom', { encryptionContext: from, more });
  const destination = authorizedKey(call, destinationId, 'kms:ReEncryptTo', { encryptionContext: to, more });
  usable(source, fromAlgorithm);
  usable(destination, toAlgorithm);
  const plaintext = opened(source, blob, from);
  dryRun(call);
  return {
    CiphertextBlob: encryptBlob(destination, plaintext, to).toString('base64'),
    SourceKeyId: source.arn,
    KeyId: destination.arn,
    SourceEncryptionAlgorithm: SYMMETRIC,
    DestinationEncryptionAlgorithm: SYMMETRIC,
    SourceKeyMaterialId: materialId(source),
    DestinationKeyMaterialId: materialId(destination),
  };
};

export const generateDataKey: Operation = async (call) => {
  const made = await makeDataKey(call, 'kms:GenerateDataKey', () => readRecipient(call));
  return { CiphertextBlob: made.blob, ...handedOut(made.plaintext, made.recipient, made.key), KeyId: made.key.arn };
};

export const generateDataKeyWithoutPlaintext: Operation = async (call) => {
  const made = await makeDataKey(call, 'kms:GenerateDataKeyWithoutPlaintext', async () => undefined);
  return { CiphertextBlob: made.blob, KeyId: made.key.arn, KeyMaterialId: materialId(made.key) };
};

export const generateRandom: Operation = async (call) => {
  const bytes = call.input.integer('NumberOfBytes', { min: 1, max: 1024 });
  if (call.input.has('CustomKeyStoreId')) throw new AwsError('CustomKeyStoreNotFoundException', '');
  const recipient = await readRecipient(call);
  call.input.done();
  if (bytes === undefined) throw new AwsError('ValidationException', 'NumberOfBytes is required.');
  authorizeAccountAction(call, 'kms:GenerateRandom', { recipient });
  return handedOut(randomBytes(bytes), recipient);
};

async function makeDataKey(
  call: KmsCall,
  action: string,
  recipientOf: () => Promise<AttestedRecipient | undefined>,
): Promise<{
  readonly key: KmsKey;
  readonly blob: string;
  readonly plaintext: Buffer;
  readonly recipient: AttestedRecipient | undefined;
}> {
  const { input } = call;
  const keyId = input.text('KeyId', KEY_ID);
  const bytes = input.integer('NumberOfBytes', { min: 1, max: 1024 });
  const spec = input.text('KeySpec', { oneOf: ['AES_256', 'AES_128'], optional: true });
  const context = readContext(call, 'EncryptionContext');
  readGrantTokens(call);
  const recipient = await recipientOf();
  input.done();
  if ((bytes === undefined) === (spec === undefined)) {
    throw new AwsError('ValidationException', 'Please specify either number of bytes or key spec.');
  }
  const key = authorizedKey(call, keyId, action, { encryptionContext: context, recipient, more: algorithmKey });
  usable(key, SYMMETRIC);
  dryRun(call);
  const plaintext = randomBytes(bytes ?? (spec === 'AES_128' ? 16 : 32));
  return { key, plaintext, recipient, blob: encryptBlob(key, plaintext, context).toString('base64') };
}

const algorithmKey = { 'kms:EncryptionAlgorithm': [SYMMETRIC] } as const;

/** The key material is named to whom the plaintext is shown, and not where there is a recipient (KMS API reference). */
function handedOut(plaintext: Buffer, recipient: AttestedRecipient | undefined, key?: KmsKey): JsonObject {
  if (recipient === undefined) {
    return {
      Plaintext: plaintext.toString('base64'),
      ...(key === undefined ? {} : { KeyMaterialId: materialId(key) }),
    };
  }
  return { CiphertextForRecipient: envelopeFor(recipient, plaintext).toString('base64') };
}

/**
 * The key that opens a blob. Where the caller names one it is authorised on that, and a blob of another key is refused as
 * IncorrectKeyException; otherwise the blob names it.
 */
function openingKey(
  call: KmsCall,
  blob: Buffer,
  keyId: string | undefined,
  action: string,
  facts: Parameters<typeof authorizeOnKey>[3],
): KmsKey {
  const actual = blobKey(call, blob);
  if (keyId !== undefined) {
    const named = authorizedKey(call, keyId, action, facts);
    if (keyIdOf(blob) === undefined) throw new AwsError('InvalidCiphertextException', '');
    if (actual?.arn !== named.arn) {
      throw new AwsError(
        'IncorrectKeyException',
        'The key ID in the request does not identify a CMK that can perform this operation.',
      );
    }
    return named;
  }
  if (keyIdOf(blob) === undefined) throw new AwsError('InvalidCiphertextException', '');
  if (actual === undefined) {
    throw new AwsError(
      'AccessDeniedException',
      'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    );
  }
  authorizeOnKey(call, actual, action, facts);
  return actual;
}

function blobKey(call: KmsCall, blob: Buffer): KmsKey | undefined {
  const keyId = keyIdOf(blob);
  return liveKeys(call.store.current(), call.now).find((key) => key.keyId === keyId && key.region === call.region);
}

function opened(key: KmsKey, blob: Buffer, context: EncryptionContext): Buffer {
  const plaintext = decryptBlob(key, blob, context);
  if (plaintext === undefined) throw new AwsError('InvalidCiphertextException', '');
  return plaintext;
}

function usable(key: KmsKey, algorithm: string): void {
  if (key.state === 'Disabled') throw new AwsError('DisabledException', `${key.arn} is disabled.`);
  if (key.state === 'PendingDeletion') {
    throw new AwsError('KMSInvalidStateException', `${key.arn} is pending deletion.`);
  }
  if (algorithm !== SYMMETRIC) {
    throw new AwsError(
      'InvalidKeyUsageException',
      `Algorithm ${algorithm} is incompatible with key spec ${SYMMETRIC}.`,
    );
  }
}

function readContext(call: KmsCall, name: string): EncryptionContext {
  const context = call.input.textMap(name) ?? {};
  // The source's context is the one that says what a re-encrypted blob was for.
  call.trace.encryptionContext ??= context;
  return context;
}

async function readRecipient(call: KmsCall): Promise<AttestedRecipient | undefined> {
  const recipient = call.input.nested('Recipient');
  if (recipient === undefined) return undefined;
  const algorithm = recipient.text('KeyEncryptionAlgorithm', { oneOf: ['RSAES_OAEP_SHA_256'], optional: true });
  const document = recipient.blob('AttestationDocument', ATTESTATION);
  call.input.done();
  if (algorithm === undefined) throw new AwsError('ValidationException', 'KeyEncryptionAlgorithm is required.');
  const attested = await call.verifyRecipient(document, call.now);
  call.trace.attestedImage = attested.pcrs.get(0) ?? null;
  return attested;
}

function readAlgorithm(call: KmsCall, name: string): string {
  return call.input.text(name, { oneOf: ALGORITHMS, optional: true }) ?? SYMMETRIC;
}

function dryRun(call: KmsCall): void {
  if (call.input.flag('DryRun')) {
    throw new AwsError('DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.');
  }
}
