/**
 * The nitro host: the real image in a real enclave of an EC2 instance, by AWS's `nitro-cli`.
 *
 *     nitro-cli run-enclave -> CID -> measurements compared -> life line on vsock port 8003 says `serving`
 *
 * - **No credentials here.** The enclave calls KMS with what each party puts into its session
 *   (docs/decisions/0003-credentials-come-with-the-session.md), so the instance role needs no permission, nothing asks
 *   the metadata service for one, and this host can hand out none.
 * - **No vsock-proxy.** KMS, STS and S3 are reached through our relay (vsock port 8000), which takes its allow-list from
 *   the measured policy; TLS ends inside the enclave. AWS's vsock-proxy is not needed, and must leave port 8000 free.
 * - Enclaves outlive whoever started them. They carry a name that says whose they are, and the next orchestrator of the
 *   same data folder ends what it finds of its own.
 */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve as resolvePath } from 'node:path';
import { measureEif } from '../../build/measure/pcr.ts';
import { leastForNitroCli } from '../../build/sizing.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import { realTimers } from '../../parties/timers.ts';
import { Failure } from '../../policies/failure.ts';
import { serially } from '../serially.ts';
import { INIT_PORTS } from './host.ts';
import type { EnclaveHost, HostServices, LaunchSpec, Measurements } from './host.ts';
import { demandRoom, readAllocator } from './nitro/allocator.ts';
import type { Resources } from './nitro/allocator.ts';
import { createNitroCli } from './nitro/cli.ts';
import type { NitroCli } from './nitro/cli.ts';
import { createNitroCommand } from './nitro/command.ts';
import type { NitroCommand } from './nitro/command.ts';
import { openEnclave } from './nitro/enclave.ts';
import { demandEnclaveMachine, MACHINE_PATHS } from './nitro/machine.ts';
import type { MachinePaths } from './nitro/machine.ts';
import type { ListedEnclave, StartedEnclave } from './nitro/output.ts';
import { createPorts } from './nitro/ports.ts';
import type { HostVsock, Ports } from './nitro/ports.ts';
import type { Pauses } from './nitro/watch.ts';
import { whenServing } from './serving.ts';
import type { Started } from './serving.ts';

export type NitroHostCode =
  | 'host/measurement-mismatch' // nitro-cli measured another image than we did
  | 'host/no-measurement'; // this nitro-cli does not say what it measured

export interface NitroHostOptions {
  /** Names this orchestrator's enclaves: hex digits, the same for the same data folder. */
  readonly owner: string;
  /** Starts enclaves in debug mode: a readable console, PCRs of zeros, hence test data only. */
  readonly isDebug?: boolean;
  /** From the heartbeat to the first `serving`. */
  readonly startMs?: number;
  readonly log?: (line: string) => void;
  /** By default the `nitro-cli` of this machine. */
  readonly command?: NitroCommand;
  /** By default AF_VSOCK. */
  readonly vsock?: HostVsock;
  /** By default where Linux has them. */
  readonly machine?: MachinePaths;
  readonly pauses?: Partial<Pauses>;
}

export interface NitroHost extends EnclaveHost {
  /** Stops listening. What runs goes on running: terminate it first. */
  close(): Promise<void>;
}

const START_MS = 60_000;

/** Throws at once where this machine cannot run enclaves: `MachineCode`, `CommandCode`, `AllocatorCode`, `PortsCode`. */
export async function createNitroHost(options: NitroHostOptions): Promise<NitroHost> {
  const { owner, log = () => {}, machine = MACHINE_PATHS } = options;
  const command = options.command ?? createNitroCommand();
  await demandEnclaveMachine(machine, command);
  const cli = createNitroCli(command);
  const vsock = options.vsock ?? (await openHostVsock());
  const ports = createPorts(vsock);
  try {
    await ports.open([PORTS.outbound, PORTS.launch, PORTS.blobs, INIT_PORTS.lifeLine]);
    await endOwn(cli, owner, log);
  } catch (error) {
    await ports.close();
    throw error;
  }
  const taking = serially(); // nitro-cli starts one enclave at a time
  return {
    name: 'nitro',
    close: () => ports.close(),
    async launch(spec, services, signal) {
      const started = await taking(async () => {
        signal?.throwIfAborted();
        return startOne({ options, machine, cli, vsock, ports }, spec, services);
      });
      await whenServing(started, options.startMs ?? START_MS, signal);
      return started.enclave;
    },
  };
}

interface Parts {
  readonly options: NitroHostOptions;
  readonly machine: MachinePaths;
  readonly cli: NitroCli;
  readonly vsock: HostVsock;
  readonly ports: Ports;
}

async function startOne(parts: Parts, spec: LaunchSpec, services: HostServices): Promise<Started> {
  const { cli, ports, options, machine } = parts;
  const { PCR0, PCR1, PCR2 } = await measureEif(spec.eifPath);
  const measurements: Measurements = { PCR0, PCR1, PCR2 };
  const least = leastForNitroCli((await stat(spec.eifPath)).size);
  const wanted: Resources = {
    memoryMiB: Math.max(spec.memoryMiB, least),
    cpus: 2 * Math.ceil(spec.cpus / 2), // whole cores
  };
  demandRoom(wanted, await readAllocator(machine), inUse(await cli.list()), machine.config);
  await ports.open(Object.keys(services).map(Number));

  const name = `${prefix(options.owner)}${spec.collaboration}-${randomBytes(3).toString('hex')}`;
  const isDebug = options.isDebug ?? false;
  const arrival = ports.expect();
  try {
    const started = await startNamed(cli, { name, eifPath: resolvePath(spec.eifPath), ...wanted, isDebug });
    const enclave = openEnclave({
      ...parts,
      pauses: options.pauses,
      started,
      measurements,
      isDebug,
      arrival,
      services,
    });
    try {
      await demandSameMeasurements(cli, started, measurements);
    } catch (error) {
      await enclave.enclave.terminate();
      throw error;
    }
    return enclave;
  } finally {
    arrival.done();
  }
}

/** Nothing of that name is left running where it fails. */
async function startNamed(cli: NitroCli, start: Parameters<NitroCli['start']>[0]): Promise<StartedEnclave> {
  try {
    return await cli.start(start);
  } catch (error) {
    for (const { id, name } of await cli.list().catch(() => [])) {
      if (name === start.name) await cli.terminate(id).catch(() => {});
    }
    throw error;
  }
}

async function demandSameMeasurements(cli: NitroCli, { id }: StartedEnclave, ours: Measurements): Promise<void> {
  const found = (await cli.list()).find((one) => one.id === id);
  // Gone already: why it ended is told by whoever waits for it to serve.
  if (found === undefined) return;
  const theirs = found.measurements;
  if (theirs === undefined) {
    throw new Failure<NitroHostCode>(
      'unsupported',
      'host/no-measurement',
      'this nitro-cli does not say what it measured, so the enclave was ended',
      { hint: 'install version 1.2 or later: `sudo dnf upgrade -y aws-nitro-enclaves-cli`' },
    );
  }
  for (const register of ['PCR0', 'PCR1', 'PCR2'] as const) {
    if (theirs[register] === ours[register]) continue;
    throw new Failure<NitroHostCode>(
      'refused',
      'host/measurement-mismatch',
      `nitro-cli measured another ${register} than Accord did, so the enclave was ended: ` +
        `${theirs[register]} instead of ${ours[register]}`,
      { hint: 'the image file changed while it was started, or one of the two is wrong: build it again' },
    );
  }
}

/** Ends what an earlier orchestrator of the same data folder left running. */
async function endOwn(cli: NitroCli, owner: string, log: (line: string) => void): Promise<void> {
  for (const { id, name } of await cli.list()) {
    if (name?.startsWith(prefix(owner)) !== true) continue;
    log(`ending ${name}, which an earlier orchestrator left running`);
    await cli.terminate(id);
  }
}

function inUse(enclaves: readonly ListedEnclave[]): Resources {
  return {
    memoryMiB: enclaves.reduce((sum, { memoryMiB }) => sum + memoryMiB, 0),
    cpus: enclaves.reduce((sum, { cpus }) => sum + cpus, 0),
  };
}

function prefix(owner: string): string {
  return `accord-${owner}-`;
}

/** Loaded here alone: it opens a native library. */
async function openHostVsock(): Promise<HostVsock> {
  const [{ openAfVsock }, { loadLibc }] = await Promise.all([
    import('../../enclave/vsock/af-vsock.ts'),
    import('../../enclave/libc.ts'),
  ]);
  return openAfVsock(loadLibc(), realTimers);
}
