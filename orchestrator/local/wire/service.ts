/** Which service a request is for, and which of its operations, before anybody is believed. */
import type { Service } from '../errors.ts';
import { IAM_HOST } from '../regions.ts';
import type { S3Address } from '../s3/address.ts';
import { S3_HOST, addressOf } from '../s3/address.ts';
import type { SignedRequest } from '../signed-request.ts';
import { queryPairs } from '../signed-request.ts';
import { VERSIONS, readParameters } from './query.ts';

export type Addressed =
  | { readonly service: 'kms'; readonly operation: string }
  | {
      readonly service: 'sts' | 'iam';
      readonly operation: string;
      readonly parameters: ReadonlyMap<string, string>;
    }
  | { readonly service: 's3'; readonly operation: string; readonly address: S3Address };

export interface NamedHost {
  readonly service: Service;
  /** Undefined for IAM, which is in all of them. */
  readonly region: string | undefined;
}

const KMS_TARGET = 'TrentService.';

/** What the host's name says: `kms.REGION.accord.test` is KMS there alone, as AWS's own hosts are. Undefined for an address. */
export function namedHost(host: string): NamedHost | undefined {
  const [, service, region] = /^(kms|sts)\.([a-z0-9-]+)\.accord\.test(?::\d+)?$/.exec(host) ?? [];
  if (service === 'kms' || service === 'sts') return { service, region };
  if (host.replace(/:\d+$/, '') === IAM_HOST) return { service: 'iam', region: undefined };
  const s3 = S3_HOST.exec(host);
  return s3 === null ? undefined : { service: 's3', region: s3[2] };
}

/**
 * KMS has its header, the Query protocol its `Action`. S3 has a host of its own; at an address without name, what is signed
 * for S3, or by nobody and has a path, is S3's.
 */
export function addressedTo(request: SignedRequest, headers: ReadonlyMap<string, string>): Addressed {
  const host = headers.get('host') ?? '';
  const target = headers.get('x-amz-target');
  if (target !== undefined) {
    const operation = target.startsWith(KMS_TARGET) ? target.slice(KMS_TARGET.length) : '';
    return { service: 'kms', operation };
  }
  if (namedHost(host)?.service !== 's3') {
    const signed = signedFor(request, headers);
    const hasPath = !/^\/?(\?|$)/.test(request.target);
    const parameters = readParameters(request.method, request.target, request.body);
    const operation = parameters.get('Action');
    const isS3 = signed === 's3' ? hasPath || operation === undefined : signed === undefined && hasPath;
    if (!isS3) {
      const service = parameters.get('Version') === VERSIONS.iam ? 'iam' : 'sts';
      return { service, operation: operation ?? '', parameters };
    }
  }
  const address = addressOf(request.method, request.target, host);
  const unknown = `${request.method} ${address.subresource}`.trim();
  return { service: 's3', operation: address.operation ?? unknown, address };
}

/** The service in the scope of the signature, unverified. */
function signedFor(request: SignedRequest, headers: ReadonlyMap<string, string>): string | undefined {
  const credential =
    /Credential=([^,\s]+)/.exec(headers.get('authorization') ?? '')?.[1] ??
    new Map(queryPairs(request.target)).get('X-Amz-Credential');
  return credential?.split('/')[3];
}
