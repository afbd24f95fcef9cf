/**
 * Where an enclave may connect to: the KMS of its parties' Regions, and nothing else. That follows from the policy, which
 * is measured. The enclave does not depend on this list (TLS ends inside it, its roots are in the
 * image); the host does, so that nobody uses it as an open proxy.
 */
import { kmsEndpoint } from '../../enclave/kms/endpoint.ts';
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
  for (const party of Object.values(policy.parties)) {
    const url = new URL(kmsEndpoint(policy.trust, party.kmsKey.region));
    const port = url.port === '' ? HTTPS_PORT : Number(url.port);
    found.set(`${url.hostname}:${port}`, { host: url.hostname, port });
  }
  return [...found.keys()].sort().flatMap((key) => found.get(key) ?? []);
}

/** Exact: no wildcards, no trailing dot, no address in place of a name. */
export function isAllowed(list: readonly Endpoint[], wanted: Endpoint): boolean {
  return list.some((entry) => entry.host === wanted.host && entry.port === wanted.port);
}
