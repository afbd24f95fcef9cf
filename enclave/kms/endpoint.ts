/** Where AWS answers. The policy and the Region say so, and nothing else: not the host, not the environment. */
import type { Trust } from '../../policies/model.ts';

/** `https://kms.eu-west-1.amazonaws.com`, or what the policy's template says for a local trust. */
export function kmsEndpoint(trust: Trust, region: string): string {
  return endpoint(trust, 'kms', region);
}

/** `https://s3.eu-west-1.amazonaws.com`; buckets stand in the path, so that one name serves all of a Region. */
export function s3Endpoint(trust: Trust, region: string): string {
  return endpoint(trust, 's3', region);
}

function endpoint(trust: Trust, service: 'kms' | 's3', region: string): string {
  if (trust !== 'aws') return trust.endpoints[service].replaceAll('{region}', region);
  // Of the partitions that a policy may name, China's alone has a DNS suffix of its own.
  return `https://${service}.${region}.${region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'}`;
}
