/**
 * Hands the anchor's credential to the enclave: a new access key, encrypted under the party's KMS key for this policy and
 * purpose, stored with the orchestrator as ciphertext. The secret is never shown and never on disk: whoever needs it again
 * makes a new one. What fails takes the new key away again.
 */
import { CreateAccessKeyCommand, DeleteAccessKeyCommand } from '@aws-sdk/client-iam';
import { anchorContribution } from '../../enclave/claims/anchor-credential.ts';
import { bucketOver } from '../../enclave/claims/s3.ts';
import type { S3Credentials } from '../../enclave/claims/s3.ts';
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { anchorContext } from '../../enclave/protocol/context.ts';
import { Failure } from '../../policies/failure.ts';
import { demandStored } from '../contribute/contribute.ts';
import { spool } from '../contribute/outbox.ts';
import type { Coordinator } from '../coordinator/client.ts';
import type { Home } from '../home.ts';
import type { AwsSettings } from '../kms/client.ts';
import { createS3, incomplete } from '../kms/client.ts';
import type { DataKeys } from '../kms/data-keys.ts';
import { encryptFile } from '../kms/envelope.ts';
import type { AnchorAwsCode, AnchorClients } from './clients.ts';
import { telling } from './clients.ts';
import { survey } from './survey.ts';
import type { AnchorTerms } from './terms.ts';

export interface CredentialContribution {
  readonly user: string;
  /** Not secret: it shows in CloudTrail. */
  readonly accessKeyId: string;
  /** The key that had to make room: IAM keeps two. */
  readonly removed: string | undefined;
  readonly envelopeSha256: string;
  readonly envelopeBytes: number;
}

export interface ContributeCredential {
  readonly terms: AnchorTerms;
  readonly clients: AnchorClients;
  readonly aws: AwsSettings;
  readonly home: Home;
  readonly coordinator: Pick<Coordinator, 'contribute'>;
  readonly dataKeys: DataKeys;
  readonly random: RandomSource;
  readonly onProgress: (step: string) => void;
}

/** Keys that a user may have. */
const MOST_KEYS = 2;

export async function contributeCredential(options: ContributeCredential): Promise<CredentialContribution> {
  const { terms, clients, onProgress } = options;
  onProgress('looking at bucket and user');
  const { bucket, user } = await survey(terms, clients);
  if (bucket === undefined || user?.policy === undefined) {
    throw new Failure<AnchorAwsCode>(
      'refused',
      'anchor/no-user',
      bucket === undefined ? `there is no bucket ${terms.bucket}` : `there is no IAM user ${terms.user} with its rights`, // prettier-ignore
      { hint: 'make it first: accord anchor make' },
    );
  }
  // An enclave that runs now writes with the newest key: the one before it makes room.
  const removed = user.accessKeys.length < MOST_KEYS ? undefined : user.accessKeys[0]?.id;
  if (removed !== undefined) await removeKey(options, removed);
  onProgress('making an access key');
  const credential = await makeKey(options);
  try {
    onProgress('waiting until S3 knows the access key');
    await demandUsable(options, credential);
    const stored = await handOver(options, credential);
    return { user: terms.user, accessKeyId: credential.accessKeyId, removed, ...stored };
  } catch (error) {
    await removeKey({ ...options, clients: { ...clients, signal: new AbortController().signal } }, credential.accessKeyId).catch(() => undefined); // prettier-ignore
    throw error;
  }
}

async function makeKey({ terms, clients: { iam, signal } }: ContributeCredential): Promise<S3Credentials> {
  const command = new CreateAccessKeyCommand({ UserName: terms.user });
  const { AccessKey } = await telling(terms, 'making an access key', iam.send(command, { abortSignal: signal }));
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = AccessKey ?? {};
  if (accessKeyId === undefined || secretAccessKey === undefined) throw incomplete('IAM', 'an access key');
  return { accessKeyId, secretAccessKey };
}

async function removeKey({ terms, clients: { iam, signal } }: ContributeCredential, id: string): Promise<void> {
  const command = new DeleteAccessKeyCommand({ UserName: terms.user, AccessKeyId: id });
  await telling(terms, 'removing an access key', iam.send(command, { abortSignal: signal }));
}

/** AWS takes some seconds to know a new key everywhere. */
const PATIENCE = { attempts: 20, pauseMs: 1_000 } as const;

/** As the enclave will: the same requests, by the same code. */
async function demandUsable({ terms, aws, clients }: ContributeCredential, credentials: S3Credentials): Promise<void> {
  const { bucket, account, region } = terms;
  const client = createS3({ ...aws, region, credentials });
  const { signal } = clients;
  try {
    const s3 = bucketOver(client, {
      bucket,
      account,
      clockOffset: () => Promise.resolve(client.config.systemClockOffset),
    });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await s3.bucket(signal);
        await s3.versions(`${terms.prefix}probe`, signal);
        return;
      } catch (cause) {
        signal.throwIfAborted();
        if (attempt === PATIENCE.attempts) {
          throw new Failure<AnchorAwsCode>('refused', 'anchor/credential-unusable', 'the new access key does not do what the enclave needs', { where: cause instanceof Failure ? cause.where ?? cause.code : terms.bucket, hint: 'accord anchor lint says what is missing, accord anchor make repairs it', cause }); // prettier-ignore
        }
        await new Promise((resolve) => void setTimeout(resolve, PATIENCE.pauseMs));
      }
    }
  } finally {
    client.destroy();
  }
}

async function handOver(
  { terms, home, coordinator, dataKeys, random, clients, onProgress }: ContributeCredential,
  { accessKeyId, secretAccessKey }: S3Credentials,
): Promise<Pick<CredentialContribution, 'envelopeSha256' | 'envelopeBytes'>> {
  const { signal } = clients;
  const { keyArn, collaboration } = home.config;
  onProgress('asking KMS for a data key');
  const plaintext = new TextEncoder().encode(JSON.stringify({ accessKeyId, secretAccessKey }));
  try {
    const { content } = await encryptFile({
      dataKeys,
      keyArn,
      context: anchorContext({ policyDigest: home.pins.policyDigest, party: terms.party }),
      plaintext: [plaintext],
      plaintextBytes: plaintext.length,
      random,
      signal,
    });
    const envelope = await spool(home, content, () => undefined);
    try {
      onProgress('storing the ciphertext');
      const upload = { content: envelope.content(), bytes: envelope.bytes };
      const stored = await coordinator.contribute(collaboration, anchorContribution(terms.party), upload, signal);
      demandStored(stored, envelope);
      return { envelopeSha256: stored.sha256, envelopeBytes: stored.bytes };
    } finally {
      await envelope.discard();
    }
  } finally {
    plaintext.fill(0);
  }
}
