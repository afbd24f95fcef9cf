/** Whether this host can serve a policy at all: told before minutes go into an image, and again before a launch. */
import { Failure } from '../policies/failure.ts';
import type { AnchorStore, Policy } from '../policies/model.ts';
import type { EnclaveHost } from './hosts/host.ts';

export type ServableCode = 'orchestrator/trust-mismatch' | 'orchestrator/folder-anchor';

export interface ServingHost {
  readonly host: Pick<EnclaveHost, 'name'>;
  /** SHA-256 (hex) of the root that signs there; undefined for AWS's own. */
  readonly attestationRoot: string | undefined;
}

/** Throws `Failure<ServableCode>`. */
export function demandServable(
  { trust, anchors }: Pick<Policy, 'trust' | 'anchors'>,
  { host, attestationRoot }: ServingHost,
): void {
  demandSameRoot(trust, attestationRoot);
  if (anchors !== 'none' && host.name !== 'local') demandNoFolder(anchors.stores, host.name);
}

/** A folder anchor lies on the machine of whoever runs the host: only a process of that machine can write it. */
function demandNoFolder(stores: readonly AnchorStore[], host: EnclaveHost['name']): void {
  const owners = stores.filter((store) => 'folder' in store).map(({ owner }) => owner);
  if (owners.length === 0) return;
  throw new Failure<ServableCode>(
    'refused',
    'orchestrator/folder-anchor',
    `the anchor of ${owners.join(' and ')} is a folder, and enclaves on the ${host} host have no folders`,
    {
      where: 'anchors',
      hint: 'give each owner a bucket (`accord anchor make`), or try it out with `accord up --host local`',
    },
  );
}

/** A policy that trusts another root than the host signs with would run, and nobody would believe it. */
function demandSameRoot(trust: Policy['trust'], attestationRoot: string | undefined): void {
  const wanted = trust === 'aws' ? undefined : trust.attestationRoot;
  if (wanted === attestationRoot) return;
  throw new Failure<ServableCode>('refused', 'orchestrator/trust-mismatch', mismatch(trust, attestationRoot), {
    where: 'trust',
    hint:
      attestationRoot === undefined
        ? 'leave `--trust FILE` out: a policy without it trusts AWS'
        : "compose the policy with this host's trust file: `accord run POLICY --trust FILE` (`accord local-aws` writes it)",
  });
}

function mismatch(trust: Policy['trust'], attestationRoot: string | undefined): string {
  if (attestationRoot === undefined) return 'the policy trusts a stand-in for AWS, and this host runs on AWS';
  return trust === 'aws'
    ? 'the policy trusts AWS alone, and this host is not on AWS'
    : 'the policy trusts another attestation root than the one this host signs with';
}
