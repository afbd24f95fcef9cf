/**
 * The life of a collaboration on this host: created from a policy, built, launched, watched, stopped, launched again.
 *
 *     building -> built -> running -> stopped -> running …
 *         `-> failed -> building (created again)
 *
 * What is said here is relayed, never verified: a party checks measurements and attestation itself.
 */
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalPolicyText, parseCanonicalPolicy, toCanonicalPolicy } from '../policies/canonical.ts';
import { policyDigest } from '../policies/digest.ts';
import { Failure } from '../policies/failure.ts';
import { loadPolicy } from '../policies/load.ts';
import type { Policy } from '../policies/model.ts';
import { writtenPolicy } from '../policies/written.ts';
import { createFleet } from './fleet.ts';
import { demandServable } from './servable.ts';
import { demandCollaboration } from './contributions.ts';
import type { Contributions } from './contributions.ts';
import { createEvents } from './events.ts';
import type { Events } from './events.ts';
import type { EnclaveHost, Measurements, RunningEnclave } from './hosts/host.ts';
import { createKeeper } from './keeper.ts';
import type { LocalAwsAddress } from './relay/address.ts';
import { hostServices } from './relay/host-services.ts';
import type { FindCredentials } from './relay/launch-information.ts';
import { createNotebook } from './relay/observations.ts';
import type { Notebook } from './relay/observations.ts';
import { notRunning } from './running.ts';
import type { RunningCollaboration } from './running.ts';
import { serially } from './serially.ts';
import type { RecordsUsage, SealedRecords } from './store/records.ts';
import type { Collaboration, CollaborationChange, JsonObject, Store } from './store/store.ts';

export type CollaborationCode = 'orchestrator/not-built' | 'orchestrator/stopping';

/** Makes the image of a policy; one implementation a target. Writes `image.eif` into the folder. */
export interface ImageBuilder {
  build(
    policy: Policy,
    folder: string,
    options: { readonly onProgress: (step: JsonObject) => void; readonly signal: AbortSignal },
  ): Promise<{ readonly measurements: Measurements; readonly sizing: JsonObject }>;
  close(): Promise<void>;
}

/** AWS in miniature, where the coordinator runs one. */
export interface LocalAwsPlace {
  readonly address: LocalAwsAddress;
  /** DER of the roots its TLS certificate chains to. */
  readonly tlsRoots: readonly Uint8Array[];
}

export interface CollaborationsOptions {
  readonly store: Store;
  readonly contributions: Contributions;
  readonly records: SealedRecords;
  /** What the host lends its enclaves of its own role; undefined each time where it lends nothing. */
  readonly findCredentials: FindCredentials;
  readonly builder: ImageBuilder;
  readonly host: EnclaveHost;
  /** SHA-256 (hex) of the root that signs what runs on the host; undefined for AWS's own. */
  readonly attestationRoot: string | undefined;
  readonly imagesFolder: string;
  readonly localAws: LocalAwsPlace | undefined;
  readonly now: () => Date;
  /** Life-cycle news for the coordinator's terminal. */
  readonly log: (line: string) => void;
}

export interface Collaborations {
  readonly events: Events;
  /** The same policy twice is one collaboration; a failed or lost image is built again. */
  create(policyText: string): Promise<{ readonly created: boolean; readonly collaboration: Collaboration }>;
  list(): Promise<readonly Collaboration[]>;
  get(id: string): Promise<Collaboration>;
  /** Its enclaves that run, in the order of their numbers. */
  running(id: string): readonly RunningCollaboration[];
  /** The copy of that number; without one, each in its turn. */
  pick(id: string, copy?: number): RunningCollaboration | undefined;
  /** Resolves when so many of its enclaves serve; those that run already are left running. */
  launch(id: string, copies?: number): Promise<Collaboration>;
  /** Resolves when nothing is left of that copy, which must run, or without a number of any. */
  terminate(id: string, copy?: number): Promise<Collaboration>;
  console(id: string, copy?: number): Promise<readonly string[]>;
  /** How much its enclaves have stored here. */
  recordsUsage(id: string): Promise<RecordsUsage>;
  /** Ends builds and enclaves, and waits until nothing of them runs. */
  close(): Promise<void>;
}

const DIGEST_CHARACTERS = 12;
const RESTARTED = 'the orchestrator stopped while the enclave ran; start it again with `accord run POLICY`';

/** Takes up what an earlier process left: builds go on, enclaves that ran are marked stopped. */
export async function openCollaborations(options: CollaborationsOptions): Promise<Collaborations> {
  const { store, contributions, records, builder, host, imagesFolder, localAws, now, log } = options;
  const events = createEvents();
  const stopping = new AbortController();
  const builds = serially();

  const get = (id: string): Promise<Collaboration> => demandCollaboration(store, id);
  const imageFolder = (id: string): string => join(imagesFolder, id);
  const imagePath = (id: string): string => join(imageFolder(id), 'image.eif');

  const change = async (id: string, what: CollaborationChange): Promise<Collaboration> => {
    const after = (await store.update(id, what)) ?? (await get(id));
    log(`${id}: ${after.state}${after.reason === null ? '' : ` (${after.reason})`}`);
    events.publish(id, { event: 'state', data: { state: after.state, reason: after.reason } });
    return after;
  };

  const build = async (id: string): Promise<void> => {
    if (stopping.signal.aborted) return;
    const { policy } = await get(id);
    const partial = `${imageFolder(id)}.part`;
    try {
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial, { recursive: true });
      const { measurements, sizing } = await builder.build(loadPolicy(policy, { file: 'policy' }), partial, {
        onProgress: (data) => events.publish(id, { event: 'progress', data }),
        signal: stopping.signal,
      });
      await rm(imageFolder(id), { recursive: true, force: true });
      await rename(partial, imageFolder(id));
      await change(id, { state: 'built', reason: null, measurements, sizing });
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      // Interrupted by the orchestrator's own end: it stays `building`, and goes on at the next start.
      if (!stopping.signal.aborted)
        await change(id, { state: 'failed', reason: `the build failed: ${messageOf(error)}` });
    }
  };
  const enqueueBuild = (id: string): void => {
    void builds(() => build(id)).catch((error: unknown) => log(`${id}: ${messageOf(error)}`));
  };

  const start = async (id: string): Promise<{ readonly enclave: RunningEnclave; readonly notebook: Notebook }> => {
    const collaboration = await get(id);
    const canonical = parseCanonicalPolicy(collaboration.canonicalPolicy);
    const { parties } = loadPolicy(collaboration.policy, { file: 'policy' });
    const notebook = createNotebook(() => now().getTime());
    const services = hostServices({
      policy: canonical,
      information: {
        keyArns: Object.values(parties).map((party) => party.kmsKeyArn),
        roots: localAws?.tlsRoots ?? [],
      },
      contributions: {
        give: (name, wanted) => contributions.give(id, name, wanted),
        taken: (name, sha256) => contributions.taken(id, name, sha256),
      },
      findCredentials: options.findCredentials,
      records: createKeeper(store, records, collaboration),
      localAws: localAws?.address,
      notebook,
    });
    const allocation = allocationOf(collaboration.sizing, canonical.enclave);
    const spec = { collaboration: id, eifPath: imagePath(id), ...allocation };
    return { enclave: await host.launch(spec, services, stopping.signal), notebook };
  };
  const fleet = createFleet({
    start,
    changed: change,
    stopReason: () => (stopping.signal.aborted ? RESTARTED : undefined),
    log,
  });

  await mkdir(imagesFolder, { recursive: true, mode: 0o700 });
  for (const { id, state } of await store.list()) {
    if (state === 'running') await change(id, { state: 'stopped', reason: RESTARTED });
    if (state === 'building') enqueueBuild(id);
  }

  return {
    events,
    get,
    list: () => store.list(),
    running: (id) => fleet.running(id),
    pick: (id, copy) => fleet.pick(id, copy),

    async create(policyText) {
      stopping.signal.throwIfAborted();
      const policy = loadPolicy(policyText, { file: 'policy' });
      // Before minutes go into an image that could not be launched here.
      demandServable(policy, options);
      const canonicalPolicy = canonicalPolicyText(await toCanonicalPolicy(policy));
      const digest = await policyDigest(canonicalPolicy);
      const id = `${policy.collaboration}-${digest.slice(0, DIGEST_CHARACTERS)}`;
      const { created, collaboration } = await store.create({
        id,
        collaboration: policy.collaboration,
        policyDigest: digest,
        canonicalPolicy,
        policy: writtenPolicy(policy),
      });
      if (created) enqueueBuild(id);
      const isBusy = collaboration.state === 'building' || fleet.isBusy(id);
      if (isBusy || (await exists(imagePath(id)))) return { created, collaboration };
      const building = await change(id, { state: 'building', reason: null });
      enqueueBuild(id);
      return { created, collaboration: building };
    },

    async launch(id, copies = 1) {
      stopping.signal.throwIfAborted();
      const collaboration = await get(id);
      const isBuilt = collaboration.state !== 'building' && (await exists(imagePath(id)));
      if (!isBuilt && !fleet.isBusy(id)) throw notBuilt(collaboration);
      demandServable(parseCanonicalPolicy(collaboration.canonicalPolicy), options);
      await fleet.launch(id, copies);
      return get(id);
    },

    async terminate(id, copy) {
      await get(id);
      const stopped = await fleet.stop(id, copy);
      if (copy !== undefined && stopped === 0)
        throw notRunning(id, copy, 'nothing was stopped; `accord ps` tells what runs');
      return get(id);
    },

    async console(id, copy) {
      await get(id);
      return fleet.console(id, copy);
    },

    recordsUsage: (id) => records.usage(id),

    async close() {
      stopping.abort(new Failure<CollaborationCode>('environment', 'orchestrator/stopping', 'the orchestrator stops'));
      await fleet.stopAll();
      await builds(() => builder.close());
    },
  };
}

/** What the image needs, where the policy asks for less. */
function allocationOf(
  sizing: Collaboration['sizing'],
  asked: Policy['enclave'],
): { readonly memoryMiB: number; readonly cpus: number } {
  const larger = (needed: unknown, wanted: number): number =>
    typeof needed === 'number' ? Math.max(needed, wanted) : wanted;
  return { memoryMiB: larger(sizing?.['memoryMiB'], asked.memoryMiB), cpus: larger(sizing?.['cpus'], asked.cpus) };
}

function notBuilt({ id, state }: Collaboration): Failure<CollaborationCode> {
  return new Failure('refused', 'orchestrator/not-built', `there is no image of it to launch (it is ${state})`, {
    where: id,
    hint: state === 'building' ? 'wait until it is built' : 'create it again with `accord run`',
  });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
