/**
 * One request, from bytes to bytes: which service, who signs, which operation, what comes of it. The order is AWS's: the
 * signature before the parameters, the parameters before the permission.
 */
import { randomUUID } from 'node:crypto';
import { findCredentials } from './credentials.ts';
import type { Disturb } from './disturbance.ts';
import { refusalError } from './disturbance.ts';
import type { Service } from './errors.ts';
import { AwsError } from './errors.ts';
import { factsOfCall } from './facts.ts';
import type { Principal } from './iam/principal.ts';
import type { KmsCall, Trace } from './kms/call.ts';
import { inputOf } from './kms/input.ts';
import { callKms } from './kms/service.ts';
import { REGIONS } from './regions.ts';
import type { RequestLog } from './request-log.ts';
import { errorAnswer, HOST_ID } from './s3/errors.ts';
import { openPayload, signedPayload } from './s3/payload.ts';
import { callS3 } from './s3/service.ts';
import type { S3Store } from './s3/store.ts';
import { wrongRegion } from './s3/authorize.ts';
import type { Claim } from './signature-claim.ts';
import { readClaim } from './signature-claim.ts';
import type { SignedRequest } from './signed-request.ts';
import { headerMap } from './signed-request.ts';
import { verifySignature } from './sigv4.ts';
import type { Store } from './store.ts';
import { callSts } from './sts.ts';
import { callIam } from './users/service.ts';
import type { HttpAnswer } from './wire/http.ts';
import { jsonAnswer, jsonError, readJson } from './wire/json.ts';
import { xmlAnswer, xmlError } from './wire/query.ts';
import type { Addressed } from './wire/service.ts';
import { addressedTo, namedHost } from './wire/service.ts';

export interface Services {
  readonly store: Store;
  readonly s3: S3Store;
  readonly log: RequestLog;
  /** Milliseconds. */
  readonly now: () => number;
  readonly verifyRecipient: KmsCall['verifyRecipient'];
  readonly disturb?: Disturb | undefined;
}

export interface ReceivedRequest extends SignedRequest {
  readonly sourceIp: string;
}

/** Undefined where a test wants the connection to end without an answer. */
export async function answerRequest(request: ReceivedRequest, services: Services): Promise<HttpAnswer | undefined> {
  const requestId = randomUUID();
  const headers = headerMap(request.rawHeaders);
  const addressed = addressedTo(request, headers);
  const { service, operation } = addressed;
  const trace: Trace = { key: null, encryptionContext: null, attestedImage: null, decisions: [] };
  let principal: Principal | undefined;
  let error: AwsError | undefined;
  let answer: HttpAnswer | undefined;
  try {
    checkHost(headers.get('host') ?? '', service, request.rawHeaders);
    const now = services.now();
    const caller = authenticate(request, headers, service, services, now);
    principal = caller.principal;
    const call: AuthenticCall = { request, headers, caller, trace, requestId, now, services };
    const disturbance = await services.disturb?.({
      service,
      operation,
      principal: principal.arn,
      bucket: addressed.service === 's3' ? addressed.address.bucket : '',
      key: addressed.service === 's3' ? addressed.address.key : '',
    });
    if (disturbance === undefined || disturbance.done) answer = await perform(addressed, call);
    if (disturbance !== undefined) {
      if (disturbance.answer !== 'hang-up') throw refusalError(disturbance.answer);
      answer = undefined;
    }
  } catch (cause) {
    error = cause instanceof AwsError ? cause : internalError(service, cause);
    answer = refusal(service, error, requestId);
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
  return answer === undefined
    ? undefined
    : { ...answer, headers: { ...answer.headers, ...idHeaders(service, requestId) } };
}

interface AuthenticCall {
  readonly request: ReceivedRequest;
  readonly headers: ReadonlyMap<string, string>;
  readonly caller: Caller;
  readonly trace: Trace;
  readonly requestId: string;
  readonly now: number;
  readonly services: Services;
}

async function perform(addressed: Addressed, call: AuthenticCall): Promise<HttpAnswer> {
  const { request, headers, caller, trace, requestId, now, services } = call;
  const { principal, region } = caller;
  const baseContext = factsOfCall(request, caller, headers.get('user-agent') ?? '', now);
  const common = { principal, now, baseContext, trace };
  const { operation } = addressed;
  switch (addressed.service) {
    case 'kms': {
      const input = inputOf(readJson(request.body));
      const { store, verifyRecipient } = services;
      return jsonAnswer(await callKms({ ...common, operation, input, region, store, verifyRecipient }));
    }
    case 'sts': {
      const { parameters } = addressed;
      const result = callSts(operation, { ...common, parameters, state: services.store.current() });
      return xmlAnswer('sts', operation, result, requestId);
    }
    case 'iam': {
      const result = await callIam(operation, { ...common, parameters: addressed.parameters, store: services.store });
      return xmlAnswer('iam', operation, result, requestId);
    }
    case 's3': {
      const { bucket, key, query } = addressed.address;
      const { body, trailers } = openPayload(caller.payload ?? '', request.body, headers, caller);
      const regional = namedHost(headers.get('host') ?? '') !== undefined;
      const place = { operation, bucket, key, query, headers, body, trailers, region, regional };
      return await callS3({ ...common, ...place, store: services.s3, state: services.store.current() });
    }
  }
}

interface Caller {
  readonly principal: Principal;
  readonly region: string;
  readonly claim: Claim;
  /** The signing key. */
  readonly key: Buffer;
  /** What was signed in place of the body; S3 only. */
  readonly payload: string | undefined;
}

function authenticate(
  request: SignedRequest,
  headers: ReadonlyMap<string, string>,
  service: Service,
  { store }: Services,
  now: number,
): Caller {
  const claim = readClaim(request, service);
  const { secret, principal } = findCredentials(store.current(), claim, service, now);
  const host = namedHost(headers.get('host') ?? '');
  const here = host?.region;
  if (service === 's3' && here !== undefined && claim.region !== here) throw wrongRegion(claim.region, here);
  const payload = service === 's3' ? signedPayload(headers, claim) : undefined;
  const regions = host === undefined ? REGIONS : [host.region ?? IAM_REGION];
  const body = payload === undefined ? {} : { payload };
  const key = verifySignature(request, claim, { service, secret, regions, now, ...body });
  return { principal, region: claim.region, claim, key, payload };
}

/** IAM is in all Regions, and signed for as if it were in one; at an address without name clients sign for their own. */
const IAM_REGION = 'us-east-1';

/** `kms.…` answers for KMS alone and `sts.…` for STS, as AWS's own hosts do. */
function checkHost(host: string, service: Service, rawHeaders: readonly string[]): void {
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  const meant = namedHost(host)?.service;
  if (hosts.length > 1 || (meant !== undefined && meant !== service)) {
    throw new AwsError(service === 'kms' ? 'UnknownOperationException' : 'InvalidAction', '');
  }
}

function refusal(service: Service, error: AwsError, requestId: string): HttpAnswer {
  switch (service) {
    case 'kms':
      return jsonError(error);
    case 'sts':
    case 'iam':
      return xmlError(service, error, requestId);
    case 's3':
      return errorAnswer(error, requestId);
  }
}

function idHeaders(service: Service, requestId: string): Readonly<Record<string, string>> {
  return service === 's3'
    ? { 'x-amz-request-id': requestId, 'x-amz-id-2': HOST_ID, server: 'AmazonS3' }
    : { 'x-amzn-requestid': requestId, 'cache-control': 'no-cache, no-store, must-revalidate, private' };
}

function internalError(service: Service, cause: unknown): AwsError {
  // The message is for whoever runs this trial: no secret is ever part of one.
  const message = cause instanceof Error ? cause.message : 'internal error';
  const codes = { kms: 'KMSInternalException', sts: 'InternalFailure', iam: 'ServiceFailure', s3: 'InternalError' };
  return new AwsError(codes[service], message, 500);
}
