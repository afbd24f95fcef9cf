/** The host's three services, by vsock port, as one enclave of one collaboration sees them. */
import type { CanonicalPolicy } from '../../policies/model.ts';
import type { HostServices } from '../hosts/host.ts';
import type { LocalAwsAddress } from './address.ts';
import { allowList } from './allow-list.ts';
import { contributionService } from './contributions.ts';
import type { FindContribution } from './contributions.ts';
import { launchInformationService } from './launch-information.ts';
import type { LaunchInformation } from './launch-information.ts';
import type { Notebook } from './observations.ts';
import { outboundService } from './outbound.ts';

export const GUEST_PORTS = { sessions: 5000 } as const;
export const HOST_PORTS = { outbound: 8000, launchInformation: 8001, contributions: 8002 } as const;

export interface HostServicesOptions {
  readonly policy: CanonicalPolicy;
  readonly information: LaunchInformation;
  readonly findContribution: FindContribution;
  readonly localAws?: LocalAwsAddress | undefined;
  readonly notebook: Notebook;
}

export function hostServices(options: HostServicesOptions): HostServices {
  const { policy, information, findContribution, localAws, notebook } = options;
  return {
    [HOST_PORTS.outbound]: outboundService({ allow: allowList(policy), localAws, notebook }),
    [HOST_PORTS.launchInformation]: launchInformationService(information, notebook),
    [HOST_PORTS.contributions]: contributionService(findContribution, notebook),
  };
}
