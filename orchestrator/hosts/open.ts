/** The host that was asked for, with what belongs to it: whose attestation root signs there, and where its AWS is. */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { findLocalAws, isAnswering } from '../local-aws-place.ts';
import type { FoundLocalAws } from '../local-aws-place.ts';
import type { Endpoint } from '../relay/allow-list.ts';
import { createAttestationIssuer } from '../local/attestation-issuer.ts';
import type { EnclaveHost } from './host.ts';
import { createLocalHost } from './local.ts';
import type { HostName } from './names.ts';
import type { NitroHostOptions } from './nitro.ts';
import type { QemuHostOptions } from './qemu.ts';
import { nodeModulesAbove } from './run-folder.ts';

export type OpenHostCode = 'host/no-local-aws' | 'host/takes-no-local-aws';

export interface OpenHostOptions {
  readonly name: HostName;
  /** Real path of the orchestrator's data folder, whose lock is held. */
  readonly data: string;
  /** Folder of a running `accord local-aws`: needed by the local and the qemu host, refused by the nitro host. */
  readonly localAwsFolder: string | undefined;
  /** Where enclaves are unpacked and run; by default below the data folder, or the system's temporary folder. */
  readonly runFolder: string | undefined;
  /** Where `npm run setup:qemu` put QEMU. */
  readonly cacheDir: string;
  readonly log: (line: string) => void;
  /** Of the nitro host alone. */
  readonly nitro?: Partial<NitroHostOptions> | undefined;
}

export interface OpenedHost {
  readonly host: EnclaveHost;
  /** SHA-256 (hex) of the root that signs here; undefined for AWS's own. */
  readonly attestationRoot: string | undefined;
  readonly localAws: FoundLocalAws | undefined;
  /** When nothing runs any more. */
  close(): Promise<void>;
}

/** The host of the local trial: an account that owns nothing the parties have. */
const LOCAL_HOST_ROLE = 'arn:aws:iam::999900001111:role/accord-host';

/** Fails at once, with what is missing, where this machine cannot run such enclaves. */
export async function openHost(options: OpenHostOptions): Promise<OpenedHost> {
  if (options.name === 'nitro') return openNitro(options);
  const { name, data, localAwsFolder } = options;
  if (localAwsFolder === undefined) {
    throw new Failure<OpenHostCode>('usage', 'host/no-local-aws', `the ${name} host needs an AWS in miniature`, {
      hint: 'start one with `accord local-aws --data DIR`, and name the same folder with --local-aws DIR',
    });
  }
  const localAws = await findLocalAws(localAwsFolder);
  await warnWhereSilent(localAwsFolder, await localAws.address(), options.log);
  const issuer = await createAttestationIssuer(localAws.nsmFolder);
  const common = {
    runFolder: options.runFolder ?? runFolderFor(name, data),
    issuer,
    instanceId: instanceIdOf(data),
    roleArn: LOCAL_HOST_ROLE,
  };
  const host = name === 'local' ? createLocalHost(common) : await openQemu({ ...common, cacheDir: options.cacheDir });
  return { host, attestationRoot: issuer.rootSha256, localAws, close: async () => {} };
}

/** Its folder outlives it. It is no fault yet: it may be started while this runs. */
async function warnWhereSilent(folder: string, address: Endpoint, log: (line: string) => void): Promise<void> {
  if (await isAnswering(address)) return;
  log(
    `warning: the local AWS of ${folder} does not run (nothing answers at ${address.host}:${address.port}): start it with ` +
      '`accord local-aws --data DIR` before a party opens a session',
  );
}

async function openQemu(options: QemuHostOptions): Promise<EnclaveHost> {
  const { createQemuHost, findQemu } = await import('./qemu.ts');
  await findQemu(options.cacheDir); // that it is not set up should be told now, not after the first build
  return createQemuHost(options);
}

async function openNitro({ data, localAwsFolder, log, nitro }: OpenHostOptions): Promise<OpenedHost> {
  if (localAwsFolder !== undefined) {
    throw new Failure<OpenHostCode>('usage', 'host/takes-no-local-aws', 'the nitro host runs on AWS itself', {
      hint: 'leave --local-aws out; policies must trust AWS (no --trust FILE)',
    });
  }
  const { createNitroHost } = await import('./nitro.ts');
  const host = await createNitroHost({ owner: digestOf(data).slice(0, 12), log, ...nitro });
  return { host, attestationRoot: undefined, localAws: undefined, close: () => host.close() };
}

/** `i-` and 17 hex digits, the same for the same folder, so that PCR4 stays. */
function instanceIdOf(data: string): string {
  return `i-${digestOf(data).slice(0, 17)}`;
}

function digestOf(data: string): string {
  return createHash('sha256').update(data).digest('hex');
}

/**
 * Below the data folder where that can be. Not where root runs unpacked enclaves: their jails are other users, whom
 * the data folder keeps out.
 */
function runFolderFor(name: 'local' | 'qemu', data: string): string {
  const hasOtherUsers = name === 'local' && process.getuid?.() === 0;
  if (!hasOtherUsers && nodeModulesAbove(data) === undefined) return join(data, 'run');
  return join(tmpdir(), `accord-${process.getuid?.() ?? 'run'}`);
}
