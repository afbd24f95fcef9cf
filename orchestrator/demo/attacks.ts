/**
 * What a host, or an image that was not agreed on, can try against a party's key. Each attempt is a real request to KMS;
 * the outcome is the name of the error that KMS answered with, or `opened`.
 */
import { CreateGrantCommand, CreateKeyCommand, DecryptCommand, ReEncryptCommand } from '@aws-sdk/client-kms';
import { generateKeyPairSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { fromHex } from '../../enclave/encoding/hex.ts';
import type { EnvelopeHeader } from '../../enclave/protocol/envelope.ts';
import { readEnvelope } from '../../enclave/protocol/envelope.ts';
import { createKms, createSts, defaultEnclaveRole } from '../../parties/kms/client.ts';
import type { AwsSettings } from '../../parties/kms/client.ts';
import { enclaveCredentials } from '../../parties/session/aws.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import type { Measurements } from '../hosts/host.ts';
import { createAttestationIssuer } from '../local/attestation-issuer.ts';

export interface Attempt {
  readonly operation: string;
  /** `opened`, or the error's name, for example `AccessDeniedException`. */
  readonly outcome: string;
}

type Environment = AwsSettings['env'];

/** The part of an encrypted file that anybody can read who has it: which key opens it, and what for. */
export async function headerOf(path: string): Promise<EnvelopeHeader> {
  const source = createReadStream(path);
  try {
    return (await readEnvelope(source)).header;
  } finally {
    source.destroy();
  }
}

/** The host, administrator of its own account, tries to get at what `header` was encrypted under. */
export async function hostAttempts(header: EnvelopeHeader, env: Environment): Promise<readonly Attempt[]> {
  const { keyArn, context, dataKey } = header;
  const kms = createKms({ profile: 'host', region: parseKmsKeyArn(keyArn).region, env });
  const EncryptionContext = { ...context };
  try {
    const own = await kms.send(new CreateKeyCommand({ Description: 'what the host owns itself' }));
    const hostKey = own.KeyMetadata?.Arn;
    return [
      await attempt('Decrypt', () =>
        kms.send(new DecryptCommand({ KeyId: keyArn, CiphertextBlob: dataKey, EncryptionContext })),
      ),
      await attempt('ReEncrypt', () =>
        kms.send(
          new ReEncryptCommand({
            CiphertextBlob: dataKey,
            SourceKeyId: keyArn,
            SourceEncryptionContext: EncryptionContext,
            DestinationKeyId: hostKey,
          }),
        ),
      ),
      await attempt('CreateGrant', () =>
        kms.send(
          new CreateGrantCommand({
            KeyId: keyArn,
            GranteePrincipal: 'arn:aws:iam::999900001111:root',
            Operations: ['Decrypt'],
          }),
        ),
      ),
    ];
  } finally {
    kms.destroy();
  }
}

/** The key's owner, administrator of the account, tries to open it without an enclave. */
export async function ownerAttempt(header: EnvelopeHeader, profile: string, env: Environment): Promise<Attempt> {
  const { keyArn, context, dataKey } = header;
  const kms = createKms({ profile, region: parseKmsKeyArn(keyArn).region, env });
  try {
    const command = new DecryptCommand({
      KeyId: keyArn,
      CiphertextBlob: dataKey,
      EncryptionContext: { ...context },
    });
    return await attempt('Decrypt', () => kms.send(command));
  } finally {
    kms.destroy();
  }
}

export interface ImageAttempt {
  readonly header: EnvelopeHeader;
  /** Profile of the key's owner, who lends even the enclave's own role: the worst case. */
  readonly profile: string;
  /** What the hypervisor would attest of the image that asks. */
  readonly measurements: Measurements;
  /** Folder of the local AWS, where the stand-in of the hypervisor keeps its root. */
  readonly awsFolder: string;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

/** An enclave of these measurements asks KMS to open the data key for it, with the owner's own enclave role. */
export async function imageAttempt(options: ImageAttempt): Promise<Attempt> {
  const { header, profile, measurements, awsFolder, env, signal } = options;
  const { keyArn, context, dataKey } = header;
  const { region } = parseKmsKeyArn(keyArn);
  const issuer = await createAttestationIssuer(join(awsFolder, 'nsm'));
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const document = await issuer.sign({
    moduleId: 'i-0123456789abcdef0-enc0123456789abcdef',
    pcrs: new Map([measurements.PCR0, measurements.PCR1, measurements.PCR2].map((hex, index) => [index, fromHex(hex)])),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  });
  const sts = createSts({ profile, region, env });
  const borrow = enclaveCredentials(sts, { roleArn: defaultEnclaveRole(keyArn), keyArn, sessionName: 'accord-demo' });
  const credentials = await borrow(signal).finally(() => sts.destroy());
  const kms = createKms({ credentials, region, env });
  try {
    const command = new DecryptCommand({
      KeyId: keyArn,
      CiphertextBlob: dataKey,
      EncryptionContext: { ...context },
      Recipient: { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: document },
    });
    return await attempt('Decrypt', () => kms.send(command));
  } finally {
    kms.destroy();
  }
}

/** Only what KMS itself answered is an outcome; a broken wire is not a refusal. */
async function attempt(operation: string, run: () => Promise<unknown>): Promise<Attempt> {
  try {
    await run();
    return { operation, outcome: 'opened' };
  } catch (error) {
    if (!(error instanceof Error) || !('$fault' in error) || error.$fault !== 'client') throw error;
    return { operation, outcome: error.name };
  }
}
