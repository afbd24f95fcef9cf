/** Where a party's KMS answers. The policy and the Region say so, and nothing else: not the host, not the environment. */
import type { Trust } from '../../policies/model.ts';

/** `https://kms.eu-west-1.amazonaws.com`, or what the policy's template says for a local trust. */
export function kmsEndpoint(trust: Trust, region: string): string {
  if (trust !== 'aws') return trust.endpoints.kms.replaceAll('{region}', region);
  // Of the partitions that a policy may name, China's alone has a DNS suffix of its own.
  return `https://kms.${region}.${region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'}`;
}
