/** The host's three services, by vsock port, as one enclave of one collaboration sees them. */
import type { LaunchInformation } from '../../enclave/vsock/host.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import type { CanonicalPolicy } from '../../policies/model.ts';
import type { HostServices } from '../hosts/host.ts';
import type { LocalAwsAddress } from './address.ts';
import { allowList } from './allow-list.ts';
import { blobService } from './blobs.ts';
import type { ContributionKeeper } from './contributions.ts';
import { launchInformationService } from './launch-information.ts';
import type { FindCredentials } from './launch-information.ts';
import type { Notebook } from './observations.ts';
import { outboundService } from './outbound.ts';
import type { RecordKeeper } from './sealed-records.ts';

export interface HostServicesOptions {
  readonly policy: CanonicalPolicy;
  readonly information: LaunchInformation;
  readonly contributions: ContributionKeeper;
  readonly findCredentials: FindCredentials;
  readonly records: RecordKeeper;
  readonly localAws?: LocalAwsAddress | undefined;
  readonly notebook: Notebook;
}

export function hostServices(options: HostServicesOptions): HostServices {
  const { policy, information, contributions, findCredentials, records, localAws, notebook } = options;
  return {
    [PORTS.outbound]: outboundService({ allow: allowList(policy), localAws, notebook }),
    [PORTS.launch]: launchInformationService(information, findCredentials, notebook),
    [PORTS.blobs]: blobService({ contributions, records }, notebook),
  };
}
