/**
 * The party's own KMS and STS, and the S3 and IAM of its anchor: the SDK's clients with the credentials of a profile (else
 * the SDK's usual chain), and with what the `aws` command line reads from the environment and the SDK does not: a CA
 * bundle.
 */
import { IAMClient } from '@aws-sdk/client-iam';
import { KMSClient, KMSServiceException } from '@aws-sdk/client-kms';
import { S3Client } from '@aws-sdk/client-s3';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { fromNodeProviderChain } from '@aws-sdk/credential-providers';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import { printable } from '../printable.ts';
import { mayNameProfile, profileFiles } from './profiles.ts';

export type KmsClientCode =
  | 'aws/ca-bundle' // AWS_CA_BUNDLE names no readable file
  | 'aws/credentials' // none found, expired, or unknown to AWS
  | 'aws/no-such-profile' // neither file of profiles names it
  | 'aws/denied' // AWS answered: not authorised
  | 'aws/not-found'
  | 'aws/refused' // AWS answered: no, for a reason of its own
  | 'aws/other-key' // KMS answered for another key than it was asked about
  | 'aws/incomplete' // an answer without what it must have
  | 'aws/unreachable'; // no answer, or a server's fault: a retry may help

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of a role's session. */
  readonly sessionToken?: string;
}

export interface AwsSettings {
  /** A profile of the AWS configuration; without one, the SDK's credential chain. */
  readonly profile?: string | undefined;
  /** Those of a role that was assumed, or of another user, in place of a profile's. */
  readonly credentials?: Credentials;
  readonly region: string;
  /** AWS_ENDPOINT_URL(_KMS, _STS, _S3, _IAM), AWS_CA_BUNDLE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE are read from here. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Throws `aws/ca-bundle` at once; everything else when a command is sent. */
export function createKms(settings: AwsSettings): KMSClient {
  return new KMSClient(clientConfig(settings, 'KMS'));
}

export function createSts(settings: AwsSettings): STSClient {
  return new STSClient(clientConfig(settings, 'STS'));
}

/** Buckets stand in the path of a request, as the enclave asks for them. */
export function createS3(settings: AwsSettings): S3Client {
  return new S3Client({ ...clientConfig(settings, 'S3'), forcePathStyle: true });
}

export function createIam(settings: AwsSettings): IAMClient {
  return new IAMClient(clientConfig(settings, 'IAM'));
}

export interface CallerIdentity {
  /** Twelve digits. */
  readonly account: string;
  /** As STS reports it: of a role's session, the session's ARN. */
  readonly arn: string;
  /** The name that key policies use: a user's ARN, or that of the role behind a session. */
  readonly principalArn: string;
}

/** Who the credentials belong to. Throws `Failure<KmsClientCode>`. */
export async function callerIdentity(sts: STSClient, signal?: AbortSignal): Promise<CallerIdentity> {
  try {
    const answer = await sts.send(
      new GetCallerIdentityCommand({}),
      signal === undefined ? {} : { abortSignal: signal },
    );
    const { Account: account, Arn: arn } = answer;
    if (account === undefined || arn === undefined) throw incomplete('STS', 'Account and Arn');
    return { account, arn, principalArn: principalOf(arn) };
  } catch (cause) {
    throw awsFailure(cause, 'asking AWS who this is');
  }
}

/**
 * `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` -> `arn:aws:iam::ACCOUNT:role/ROLE`. A session's ARN does not tell its
 * role's path, but for the roles of IAM Identity Center, whose path is known. Other roles with a path must be named.
 */
export function principalOf(arn: string): string {
  const session = /^arn:([^:]+):sts::(\d{12}):assumed-role\/([^/]+)\/[^/]+$/.exec(arn);
  if (session === null) return arn;
  const [, partition, account, role = ''] = session;
  return `arn:${partition}:iam::${account}:role/${role}`;
}

/** `arn:aws:iam::ACCOUNT:role/accord-enclave` of the account that owns the key. */
export function defaultEnclaveRole(keyArn: string): string {
  const { partition, account } = parseKmsKeyArn(keyArn);
  return `arn:${partition}:iam::${account}:role/accord-enclave`;
}

/** KMS resolves aliases and more: what it used must be what was named. */
export function demandKey(used: string | undefined, named: string): void {
  if (used === named) return;
  throw new Failure<KmsClientCode>('refused', 'aws/other-key', 'KMS used another key than the one that was named', {
    where: used ?? 'KeyId',
  });
}

export function incomplete(service: Service, what: string): Failure<KmsClientCode> {
  return new Failure('environment', 'aws/incomplete', `${service} answered without ${what}`, { hint: 'try again' });
}

/** What AWS or the way there answered, as a failure that says what to do. */
export function awsFailure(cause: unknown, doing: string): Failure {
  if (cause instanceof Failure) return cause;
  const { name, message } = cause instanceof Error ? cause : { name: 'Error', message: String(cause) };
  const said = message === '' || name === 'Error' ? '' : ` (${name})`;
  const fail = (kind: Failure['kind'], code: KmsClientCode, hint: string): Failure<KmsClientCode> =>
    new Failure(kind, code, `${doing}: ${printable(message === '' ? name : message)}${said}`, { hint, cause });
  if (/^(AccessDenied|AccessDeniedException)$/.test(name)) {
    return fail(
      'refused',
      'aws/denied',
      'the key policy or IAM says no to these credentials: is it the right --profile?',
    );
  }
  if (
    /^(CredentialsProviderError|ExpiredToken|UnrecognizedClient|InvalidClientTokenId|TokenRefreshRequired)/.test(name)
  ) {
    return fail('environment', 'aws/credentials', 'name a profile with --profile, or renew its credentials');
  }
  if (/^(NotFoundException)$/.test(name)) {
    return fail('refused', 'aws/not-found', 'is the ARN right, and does the key exist in that Region?');
  }
  if (/^(InvalidSignature|SignatureDoesNotMatch|IncompleteSignature)/.test(name)) {
    return fail('environment', 'aws/credentials', 'check the secret key of the profile, and the clock of this machine');
  }
  const answered = cause instanceof KMSServiceException || (cause instanceof Error && '$fault' in cause);
  const serversFault = cause instanceof Error && '$fault' in cause && cause.$fault === 'server';
  if (answered && !serversFault) return fail('refused', 'aws/refused', 'AWS refused the request as it stands');
  const hint = refusedOnLoopback(cause)
    ? 'is `accord local-aws` running? If AWS itself is meant, unset AWS_ENDPOINT_URL'
    : 'check the network and AWS_ENDPOINT_URL, then try again';
  return fail('environment', 'aws/unreachable', hint);
}

/** Nobody listens at an address of this machine: what should be there is the local AWS. */
function refusedOnLoopback(cause: unknown): boolean {
  if (cause instanceof AggregateError) return cause.errors.some(refusedOnLoopback);
  if (!(cause instanceof Error) || !('code' in cause) || cause.code !== 'ECONNREFUSED') return false;
  return 'address' in cause && typeof cause.address === 'string' && /^(127\.|::1$)/.test(cause.address);
}

type Service = 'KMS' | 'STS' | 'S3' | 'IAM';

interface ClientConfig {
  readonly region: string;
  readonly credentials: ReturnType<typeof fromNodeProviderChain> | Credentials;
  readonly maxAttempts: number;
  readonly endpoint?: string;
  readonly requestHandler: NodeHttpHandler;
}

function clientConfig({ profile, credentials: assumed, region, env }: AwsSettings, service: Service): ClientConfig {
  const requestHandler = patientHandler(env['AWS_CA_BUNDLE']);
  const endpointOf = (name: Service): { readonly endpoint?: string } => {
    const endpoint = env[`AWS_ENDPOINT_URL_${name}`] ?? env['AWS_ENDPOINT_URL'];
    return endpoint === undefined ? {} : { endpoint };
  };
  const files = {
    ...(env['AWS_SHARED_CREDENTIALS_FILE'] === undefined ? {} : { filepath: env['AWS_SHARED_CREDENTIALS_FILE'] }),
    ...(env['AWS_CONFIG_FILE'] === undefined ? {} : { configFilepath: env['AWS_CONFIG_FILE'] }),
  };
  const named = profile ?? env['AWS_PROFILE'];
  const chain = (): ReturnType<typeof fromNodeProviderChain> =>
    fromNodeProviderChain({
      ...(named === undefined ? {} : { profile: named }),
      ...files,
      // Profiles that assume a role ask an STS of their own for it.
      clientConfig: { region, requestHandler, ...endpointOf('STS') },
    });
  const credentials = assumed ?? tellingWhatIsMissing(chain(), named, env);
  return { region, credentials, maxAttempts: MAX_ATTEMPTS, requestHandler, ...endpointOf(service) };
}

type CredentialChain = ReturnType<typeof fromNodeProviderChain>;

/** What the SDK says of credentials that are nowhere names neither the profile nor the files that were looked in. */
function tellingWhatIsMissing(
  chain: CredentialChain,
  profile: string | undefined,
  env: AwsSettings['env'],
): CredentialChain {
  return async (properties) => {
    try {
      return await chain(properties);
    } catch (cause) {
      if (!(cause instanceof Error) || !NOWHERE.test(cause.message)) throw cause;
      throw await nowhere(profile, env, cause);
    }
  };
}

async function nowhere(
  profile: string | undefined,
  env: AwsSettings['env'],
  cause: Error,
): Promise<Failure<KmsClientCode>> {
  const files = profileFiles(env);
  const places = `${files.config} and ${files.credentials}`;
  const local = 'Under a local trust, paste the exports of `accord local-aws` into this shell';
  const fail = (code: KmsClientCode, message: string, advice: string): Failure<KmsClientCode> =>
    new Failure('usage', code, message, { hint: `${advice} ${local}`, cause });
  if (profile === undefined) {
    return fail('aws/credentials', `there are no AWS credentials in ${places}`, 'name a profile with --profile.');
  }
  const question = 'is the name of the profile right?';
  return (await mayNameProfile(files, profile))
    ? fail('aws/credentials', `there is no AWS profile "${profile}" with credentials in ${places}`, question)
    : fail('aws/no-such-profile', `there is no AWS profile "${profile}": ${places} do not name it`, question);
}

const NOWHERE = /^Could not (load credentials from any providers|resolve credentials using profile)/;

/** Three tries of eight seconds: a KMS that takes a connection and never answers is unreachable, not waited for. */
const MAX_ATTEMPTS = 3;
const ANSWER_MS = 8_000;

function patientHandler(bundle: string | undefined): NodeHttpHandler {
  return new NodeHttpHandler({
    httpsAgent: new Agent({ keepAlive: true, ...rootsOf(bundle) }),
    connectionTimeout: ANSWER_MS,
    requestTimeout: ANSWER_MS,
    throwOnRequestTimeout: true,
  });
}

/** As the `aws` command line takes it: the bundle's roots, and no others. */
function rootsOf(bundle: string | undefined): { readonly ca?: string } {
  if (bundle === undefined || bundle === '') return {};
  try {
    return { ca: readFileSync(bundle, 'utf8') };
  } catch (cause) {
    throw new Failure<KmsClientCode>('environment', 'aws/ca-bundle', 'AWS_CA_BUNDLE names a file that cannot be read', {
      where: bundle,
      hint: 'start `accord local-aws` again and use the exports it prints, or unset AWS_CA_BUNDLE',
      cause,
    });
  }
}
