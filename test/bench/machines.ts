/**
 * The real image in QEMU's Nitro machine, with the local AWS for its keys: built by a container engine, launched by the
 * qemu host, spoken to over vsock. No orchestrator between, so that memory can be chosen and what is timed is the machine.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { defaultCacheDir } from '../../build/cache.ts';
import { createEifBuilder } from '../../build/eif-builder.ts';
import type { EifParts } from '../../build/eif-builder.ts';
import type { BuildResult } from '../../build/image-builder.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import type { EnclaveHost, HostServices, RunningEnclave } from '../../orchestrator/hosts/host.ts';
import { createQemuHost, findQemu } from '../../orchestrator/hosts/qemu.ts';
import { startLocalAws } from '../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../orchestrator/local/aws.ts';
import type { RecordKeeper } from '../../orchestrator/relay/sealed-records.ts';
import { hostServices } from '../../orchestrator/relay/host-services.ts';
import type { HostServicesOptions } from '../../orchestrator/relay/host-services.ts';
import { createNotebook } from '../../orchestrator/relay/observations.ts';
import { Failure } from '../../policies/failure.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { Home } from '../../parties/home.ts';
import type { Session } from '../../parties/session/session.ts';
import { createEnvelopes } from './envelopes.ts';
import { overStream } from './frames.ts';
import { contribute, homeOf, openSessionOf, pin } from './parties.ts';
import type { Party } from './parties.ts';
import { KEY_ARNS } from './samples.ts';
import type { Subject } from './samples.ts';

export interface Machine {
  readonly enclave: RunningEnclave;
  openSession(party: Party): Promise<Session>;
  /** Bob's model, sealed and opened. */
  contribute(subject: Subject): Promise<void>;
}

export interface LaunchOptions {
  readonly memoryMiB: number;
  /** What the host answers beside, or in place of, what every host does. */
  readonly services?: (usual: HostServicesOptions) => HostServices;
}

export interface Image extends BuildResult {
  home(party: Party): Promise<Home>;
}

export interface Machines {
  readonly aws: LocalAws;
  /** The launch folder of each machine is in it. */
  readonly runFolder: string;
  /** An image of `policy`, to which both parties' keys are then pinned. */
  build(policy: string): Promise<Image>;
  launch(image: Image, options: LaunchOptions): Promise<Machine>;
  close(): Promise<void>;
}

/** Why it cannot be measured on this machine; undefined for every other error. */
export function whyAbsent(error: unknown): string | undefined {
  if (!(error instanceof Failure)) return undefined;
  const isAbsent = /^(engine\/(absent|denied|not-running)|host\/qemu-\w+|image\/platform)$/.test(error.code);
  return isAbsent ? `${error.message}${error.hint === undefined ? '' : `: ${error.hint}`}` : undefined;
}

/** `files` in place of the enclave's own programs and packages. Throws what `whyAbsent` explains where there is no QEMU. */
export async function openMachines(files?: EifParts['files']): Promise<Machines> {
  const cacheDir = defaultCacheDir(process.env);
  await findQemu(cacheDir);
  const undo: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-bench-')));
    undo.push(() => rm(folder, { recursive: true, force: true }));
    const builder = await createEifBuilder({ cacheDir, onProgress: told(), ...(files && { parts: { files } }) });
    undo.push(() => builder.close());
    const aws = await startLocalAws({ dataDir: join(folder, 'aws') });
    undo.push(() => aws.close());
    const runFolder = join(folder, 'run');
    const host = createQemuHost({
      runFolder,
      issuer: aws.issuer,
      instanceId: 'i-0123456789abcdef0',
      roleArn: 'arn:aws:iam::999900001111:role/accord-host',
      cacheDir,
    });
    let images = 0;
    return {
      aws,
      runFolder,
      close,
      async build(policy) {
        const made = await builder.build(loadPolicy(policy, { file: 'policy' }), join(folder, `image-${images++}`));
        const { measurements, canonicalPolicy } = made;
        const agreement = { measurements, canonicalPolicy, orchestrator: 'http://127.0.0.1', collaboration: 'bench' };
        const image: Image = { ...made, home: (party) => homeOf(aws, folder, party, agreement) };
        await pin(aws, [await image.home('bob')]);
        return image;
      },
      async launch(image, options) {
        const machine = await launch(host, aws, image, options);
        const stop = (): Promise<void> => machine.enclave.terminate();
        undo.push(stop);
        void machine.enclave.ended.then(() => undo.splice(undo.indexOf(stop), 1));
        return machine;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Sealed records in memory, as the host keeps them on its disk. */
function recordsOf(): RecordKeeper {
  const records = new Map<string, Uint8Array>();
  const given = (bytes: Uint8Array | undefined) =>
    bytes && { bytes: bytes.length, stream: Readable.from([Buffer.from(bytes)]) };
  let newest: Uint8Array | undefined;
  const keep: RecordKeeper['put'] = async ({ source, sha256 }) => {
    const parts: Uint8Array[] = [];
    for await (const part of source) parts.push(new Uint8Array(part));
    newest = Buffer.concat(parts);
    records.set(sha256, newest);
  };
  let keys: Uint8Array | undefined;
  return {
    put: keep,
    get: async (sha256) => given(records.get(sha256)),
    async putKeys(upload) {
      await keep(upload);
      keys = newest;
    },
    keys: async () => given(keys),
    policy: async () => undefined,
  };
}

async function launch(host: EnclaveHost, aws: LocalAws, image: Image, options: LaunchOptions): Promise<Machine> {
  const policy = parseCanonicalPolicy(image.canonicalPolicy);
  const { contributions, coordinator } = createEnvelopes();
  const usual: HostServicesOptions = {
    policy,
    information: { keyArns: Object.values(KEY_ARNS), roots: [aws.caDer] },
    contributions,
    findCredentials: async () => undefined,
    records: recordsOf(),
    localAws: async () => ({ host: '127.0.0.1', port: aws.port }),
    notebook: createNotebook(() => Date.now()),
  };
  const enclave = await host.launch(
    { collaboration: 'bench', eifPath: image.eifPath, memoryMiB: options.memoryMiB, cpus: policy.enclave.cpus },
    (options.services ?? hostServices)(usual),
  );
  const openSession = async (party: Party): Promise<Session> =>
    openSessionOf(aws, party, await image.home(party), overStream(await enclave.connect(PORTS.sessions)));
  return {
    enclave,
    openSession,
    async contribute(subject) {
      await contribute(aws, await image.home('bob'), subject, { coordinator, openSession: () => openSession('bob') });
    },
  };
}

/** Each step once on standard error: the first build of all compiles a kernel. */
export function told(): (progress: { readonly step: string; readonly text: string }) => void {
  const steps = new Set<string>();
  return ({ step, text }) => {
    if (!steps.has(step)) process.stderr.write(`bench: ${text}\n`);
    steps.add(step);
  };
}
