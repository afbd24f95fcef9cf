/**
 * Where an enclave may connect to: the KMS of its parties' Regions, the S3 of its anchors', and nothing else. That follows from the policy, which
 * is measured. The enclave does not depend on this list (TLS ends inside it, its roots are in the
 * image); the host does, so that nobody uses it as an open proxy.
 */
import { kmsEndpoint, s3Endpoint } from '../../enclave/kms/endpoint.ts';
import type { CanonicalPolicy } from '../../policies/model.ts';

export interface Endpoint {
  /** Lower case. */
  readonly host: string;
  readonly port: number;
}

const HTTPS_PORT = 443;

/** Sorted and without repetition. */
export function allowList(policy: CanonicalPolicy): readonly Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const endpoint of endpointsOf(policy)) {
    const url = new URL(endpoint);
    const port = url.port === '' ? HTTPS_PORT : Number(url.port);
    found.set(`${url.hostname}:${port}`, { host: url.hostname, port });
  }
  return [...found.keys()].sort().flatMap((key) => found.get(key) ?? []);
}

function endpointsOf({ trust, parties, anchors }: CanonicalPolicy): readonly string[] {
  const stores = anchors === 'none' ? [] : anchors.stores;
  return [
    ...Object.values(parties).map(({ kmsKey }) => kmsEndpoint(trust, kmsKey.region)),
    ...stores.flatMap((store) => ('s3' in store ? [s3Endpoint(trust, store.s3.region)] : [])),
  ];
}

/** Exact: no wildcards, no trailing dot, no address in place of a name. */
export function isAllowed(list: readonly Endpoint[], wanted: Endpoint): boolean {
  return list.some((entry) => entry.host === wanted.host && entry.port === wanted.port);
}
