/**
 * Where an enclave may connect to: the KMS and STS of its parties' Regions, and nothing else. Both follow from the
 * policy, which is measured. The enclave does not depend on this list (TLS ends inside it, its roots are in the
 * image); the host does, so that nobody uses it as an open proxy.
 */
import type { CanonicalPolicy, Trust } from '../../policies/model.ts';

export interface Endpoint {
  /** Lower case. */
  readonly host: string;
  readonly port: number;
}

const HTTPS_PORT = 443;

/** Sorted and without repetition. */
export function allowList(policy: CanonicalPolicy): readonly Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const party of Object.values(policy.parties)) {
    for (const template of endpointTemplates(policy.trust, party.kmsKey.region)) {
      const url = new URL(template.replaceAll('{region}', party.kmsKey.region));
      const port = url.port === '' ? HTTPS_PORT : Number(url.port);
      found.set(`${url.hostname}:${port}`, { host: url.hostname, port });
    }
  }
  return [...found.keys()].sort().flatMap((key) => found.get(key) ?? []);
}

function endpointTemplates(trust: Trust, region: string): readonly string[] {
  if (trust !== 'aws') return [trust.endpoints.kms, trust.endpoints.sts];
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return [`https://kms.{region}.${domain}`, `https://sts.{region}.${domain}`];
}

/** Exact: no wildcards, no trailing dot, no address in place of a name. */
export function isAllowed(list: readonly Endpoint[], wanted: Endpoint): boolean {
  return list.some((entry) => entry.host === wanted.host && entry.port === wanted.port);
}
