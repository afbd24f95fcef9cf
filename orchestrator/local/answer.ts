/**
 * One request, from bytes to bytes: which service, who signs, which operation, what comes of it. The order is AWS's: the
 * signature before the parameters, the parameters before the permission.
 */
import { randomUUID } from 'node:crypto';
import type { Service } from './errors.ts';
import { AwsError } from './errors.ts';
import { findCredentials } from './credentials.ts';
import type { Principal } from './iam/principal.ts';
import { principalArn } from './iam/principal.ts';
import type { KmsCall, Trace } from './kms/call.ts';
import { inputOf } from './kms/input.ts';
import { callKms } from './kms/service.ts';
import { REGIONS } from './regions.ts';
import type { RequestLog } from './request-log.ts';
import type { SignedRequest } from './sigv4.ts';
import { headerMap, readClaim, verifySignature } from './sigv4.ts';
import type { Store } from './store.ts';
import { callSts } from './sts.ts';
import type { HttpAnswer } from './wire/http.ts';
import { jsonAnswer, jsonError, readJson } from './wire/json.ts';
import { readParameters, xmlAnswer, xmlError } from './wire/query.ts';

export interface Services {
  readonly store: Store;
  readonly log: RequestLog;
  /** Milliseconds. */
  readonly now: () => number;
  readonly verifyRecipient: KmsCall['verifyRecipient'];
}

export interface ReceivedRequest extends SignedRequest {
  readonly sourceIp: string;
}

const KMS_TARGET = 'TrentService.';

export async function answerRequest(
  request: ReceivedRequest,
  services: Services,
): Promise<HttpAnswer & { readonly requestId: string }> {
  const requestId = randomUUID();
  const headers = headerMap(request.rawHeaders);
  const target = headers.get('x-amz-target');
  const trace: Trace = { key: null, encryptionContext: null, attestedImage: null, decisions: [] };
  const isKms = target?.startsWith(KMS_TARGET) === true;
  const parameters = isKms ? undefined : readParameters(request.method, request.target, request.body);
  const service: Service = isKms || target !== undefined ? 'kms' : 'sts';
  const operation = isKms ? target.slice(KMS_TARGET.length) : (parameters?.get('Action') ?? '');
  let principal: Principal | undefined;
  let error: AwsError | undefined;
  let answer: HttpAnswer;
  try {
    checkHost(headers.get('host') ?? '', service, request.rawHeaders);
    const now = services.now();
    const caller = authenticate(request, service, services, now);
    principal = caller.principal;
    const baseContext = factsOfCall(request, caller, headers.get('user-agent') ?? '', now);
    const common = { principal, now, baseContext, trace };
    if (service === 'kms') {
      const input = inputOf(readJson(request.body));
      const { store, verifyRecipient } = services;
      answer = jsonAnswer(
        await callKms({ ...common, operation, input, region: caller.region, store, verifyRecipient }),
      );
    } else {
      const state = services.store.current();
      const result = callSts(operation, { ...common, parameters: parameters ?? new Map<string, string>(), state });
      answer = xmlAnswer(operation, result, requestId);
    }
  } catch (cause) {
    error = cause instanceof AwsError ? cause : internalError(service, cause);
    answer = service === 'kms' ? jsonError(error) : xmlError(error, requestId);
  }
  services.log.append({
    at: new Date(services.now()).toISOString(),
    requestId,
    service,
    operation: operation.slice(0, 64),
    principal: principal?.arn ?? null,
    key: trace.key,
    decisions: trace.decisions,
    encryptionContext: trace.encryptionContext,
    attestedImage: trace.attestedImage,
    error: error === undefined ? null : { code: error.code, message: error.message },
  });
  return { ...answer, requestId };
}

interface Caller {
  readonly principal: Principal;
  readonly region: string;
}

function authenticate(request: SignedRequest, service: Service, { store }: Services, now: number): Caller {
  const claim = readClaim(request, service);
  const { secret, principal } = findCredentials(store.current(), claim, service, now);
  const host = headerMap(request.rawHeaders).get('host') ?? '';
  const named = /^(?:kms|sts)\.([a-z0-9-]+)\.accord\.test(?::\d+)?$/.exec(host)?.[1];
  verifySignature(request, claim, { service, secret, regions: named === undefined ? REGIONS : [named], now });
  return { principal, region: claim.region };
}

/** `kms.…` answers for KMS alone and `sts.…` for STS, as AWS's own hosts do. */
function checkHost(host: string, service: Service, rawHeaders: readonly string[]): void {
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  const meant = /^(kms|sts)\.[a-z0-9-]+\.accord\.test(?::\d+)?$/.exec(host)?.[1];
  if (hosts.length > 1 || (meant !== undefined && meant !== service)) {
    throw new AwsError(service === 'kms' ? 'UnknownOperationException' : 'InvalidAction', '');
  }
}

/** Condition keys that every request carries. */
function factsOfCall(
  request: ReceivedRequest,
  { principal, region }: Caller,
  userAgent: string,
  now: number,
): ReadonlyMap<string, readonly string[]> {
  const facts: readonly (readonly [string, string])[] = [
    ['aws:PrincipalArn', principalArn(principal)],
    ['aws:PrincipalAccount', principal.account],
    ['aws:PrincipalType', principal.kind === 'user' ? 'User' : 'AssumedRole'],
    ['aws:PrincipalIsAWSService', 'false'],
    ['aws:ViaAWSService', 'false'],
    ['aws:userid', principal.userId],
    ['aws:CurrentTime', new Date(now).toISOString()],
    ['aws:EpochTime', String(Math.floor(now / 1000))],
    ['aws:RequestedRegion', region],
    ['aws:SecureTransport', 'true'],
    ['aws:SourceIp', request.sourceIp],
    ['aws:UserAgent', userAgent],
    ['kms:CallerAccount', principal.account],
  ];
  const own: readonly (readonly [string, string])[] =
    principal.kind === 'user'
      ? [['aws:username', principal.userName]]
      : [
          ['aws:TokenIssueTime', new Date(principal.issuedAt).toISOString()],
          ['aws:MultiFactorAuthPresent', 'false'],
        ];
  return new Map([...facts, ...own].map(([key, value]) => [key.toLowerCase(), [value]]));
}

function internalError(service: Service, cause: unknown): AwsError {
  // The message is for whoever runs this trial: no secret is ever part of one.
  const message = cause instanceof Error ? cause.message : 'internal error';
  return new AwsError(service === 'kms' ? 'KMSInternalException' : 'InternalFailure', message, 500);
}
