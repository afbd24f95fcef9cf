/**
 * A whole gate in this process: the real service, pipeline, transport (unix sockets in a temporary folder) and the real
 * local NSM with its own root. What is an argument of the service is an argument here: time, KMS, computers, the host.
 *
 *     const gate = await startGate();
 *     const alice = await gate.peer('alice');
 *     await alice.ask({ t: 'status' });
 *     await gate.stop();
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNsm } from '../../enclave/attest/device.ts';
import type { Anchor } from '../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../enclave/claims/memory-anchor.ts';
import type { AnchorPlace } from '../../enclave/claims/open-anchor.ts';
import type { Timers } from '../../enclave/deadline.ts';
import { fromHex } from '../../enclave/encoding/hex.ts';
import type { StartComputer } from '../../enclave/gate.ts';
import type { RecipientKey } from '../../enclave/kms/recipient.ts';
import type { LifeLine } from '../../enclave/life.ts';
import type { Schedule } from '../../enclave/pipeline/schedule.ts';
import type { Keyed, World } from '../../enclave/service.ts';
import { boot, key, serve } from '../../enclave/service.ts';
import { openTransport } from '../../enclave/transport.ts';
import type { HostCredentials } from '../../enclave/vsock/host.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import type { AttestationIssuer } from '../../orchestrator/local/attestation-issuer.ts';
import { createAttestationIssuer } from '../../orchestrator/local/attestation-issuer.ts';
import { startLocalNsm } from '../../orchestrator/local/nsm.ts';
import { bucketOf } from '../../policies/buckets.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../policies/canonical.ts';
import { policyDigest } from '../../policies/digest.ts';
import type { Failure } from '../../policies/failure.ts';
import type { Policy, PolicyDigest } from '../../policies/model.ts';
import { makeRecipientKey } from './kms/recipient-key.ts';
import type { Peer, PeerOptions } from './peer.ts';
import { openPeer } from './peer.ts';
import type { ScriptedComputers } from './scripted-computer.ts';
import { createScriptedComputers } from './scripted-computer.ts';
import type { ScriptedKms } from './scripted-kms.ts';
import { createScriptedKms } from './scripted-kms.ts';
import type { HostStorage, ScriptedHost } from './scripted-host.ts';
import { createHostStorage, createScriptedHost, serveHost } from './scripted-host.ts';
import { realSchedule, realTimers } from './real-timers.ts';

export const KEY_ARNS = {
  alice: 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001',
  bob: 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002',
  charlie: 'arn:aws:kms:eu-west-1:777788889999:key/c4a211e0-0000-4000-8000-000000000003',
} as const;

/** Alice may call 3 times, Bob 2; Bob gives the model. */
export const POLICY: Policy = {
  apiVersion: 'accord/v1',
  collaboration: 'harness',
  until: '2027-06-30',
  parties: {
    alice: { role: 'data-owner', kmsKeyArn: KEY_ARNS.alice },
    bob: { role: 'model-owner', kmsKeyArn: KEY_ARNS.bob },
  },
  functions: {
    classify: {
      uses: 'image-classification',
      model: { from: 'bob' },
      calls: { alice: 3, bob: 2 },
      input: { maxBytes: 600_000, buckets: [4_096, 300_000, 600_000] },
      output: { topK: 1, decimals: 2 },
      release: { afterMs: 0, padTo: 1024 },
    },
  },
  anchors: 'none',
  state: 'none',
  enclave: { memoryMiB: 512, cpus: 1 },
  trust: {
    attestationRoot: '00'.repeat(32),
    tlsRoots: ['11'.repeat(32)],
    endpoints: {
      kms: 'https://kms.{region}.accord.test',
      sts: 'https://sts.{region}.accord.test',
      s3: 'https://s3.{region}.accord.test',
    },
  },
};

/** 2026-11-21, noon: where the harness's time starts. */
export const START: number = Date.parse('2026-11-21T12:00:00Z');

export interface GateOptions {
  readonly policy?: Policy;
  /** Default: a scripted one. `connectAws` of `enclave/kms/connect.ts` gives the real client. */
  readonly connectAws?: World['connectAws'];
  /** Signs documents. Default: one of its own. */
  readonly issuer?: AttestationIssuer;
  /** The NSM's time at the start. Default: START. */
  readonly start?: number;
  /** The host's port 8000. Default: nothing listens there. */
  readonly outbound?: (connection: Socket) => void;
  readonly startComputer?: StartComputer;
  /** One byte (hex) for each of PCR0, 1, 2. Default aa, bb, cc; 00 for all is debug mode. */
  readonly pcrs?: readonly string[];
  readonly timers?: Timers;
  /** Default: a real one, whatever the harness's own time is. */
  readonly schedule?: Schedule;
  /** Replaces parts of the world. */
  readonly world?: (world: World) => World;
  /** Key ARNs that the host hands over. Default: those of the policy. */
  readonly keyArns?: readonly string[];
  readonly roots?: readonly Uint8Array[];
  /** Of another gate: this one is its restart, or its copy. Default: one of its own. */
  readonly storage?: HostStorage;
  readonly kms?: ScriptedKms;
  readonly anchors?: Map<string, Anchor>;
  /** The host's role. Default: it has none. */
  readonly credentials?: HostCredentials;
}

export interface TestGate {
  readonly policy: Policy;
  readonly policyText: string;
  readonly policyDigest: PolicyDigest;
  readonly keyed: Keyed;
  readonly host: ScriptedHost;
  readonly kms: ScriptedKms;
  readonly storage: HostStorage;
  /** The parties' stores: by owner, as far as they have been opened. */
  readonly anchors: Map<string, Anchor>;
  /** What the enclave opened them with. */
  readonly places: readonly AnchorPlace[];
  /** Why the enclave ended itself. */
  readonly ends: readonly Failure[];
  readonly computers: ScriptedComputers;
  /** DER of the root that signs this gate's documents. */
  readonly root: Uint8Array;
  /** What the enclave said aloud. */
  readonly lines: readonly LifeLine[];
  /** Moves the NSM's clock; monotonic time goes along unless it is told not to. */
  advance(milliseconds: number, options?: { readonly monotonic?: boolean }): void;
  /** A bare connection to the sessions' port. */
  connect(): Promise<Socket>;
  /** A party's authenticated session, spoken by hand. */
  peer(party: keyof typeof KEY_ARNS, options?: Partial<PeerOptions>): Promise<Peer>;
  stop(): Promise<void>;
}

/** One for all gates of a test file: making it is most of a gate's start. */
let recipientKey: Promise<RecipientKey> | undefined;

export async function startGate(options: GateOptions = {}): Promise<TestGate> {
  const policy = options.policy ?? POLICY;
  const policyText = canonicalPolicyText(await toCanonicalPolicy(policy));
  const folder = await mkdtemp(join(tmpdir(), 'gate-'));
  const undo: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    let time = options.start ?? START;
    let monotonic = 1_000_000;
    const issuer = atTime(
      options.issuer ?? (await createAttestationIssuer(join(folder, 'root'), { now: () => time })),
      () => time,
    );
    const pcrs = new Map((options.pcrs ?? ['aa', 'bb', 'cc']).map((byte, i) => [i, fromHex(byte.repeat(48))]));
    const moduleId = 'i-0123456789abcdef0-enc0123456789abcdef';
    const nsm = await startLocalNsm({ socketPath: join(folder, 'nsm.sock'), pcrs, moduleId, issuer });
    undo.push(() => nsm.close());

    const storage = options.storage ?? createHostStorage();
    const host = createScriptedHost(storage, {
      keyArns: options.keyArns ?? Object.values(policy.parties).map(({ kmsKeyArn }) => kmsKeyArn),
      roots: options.roots ?? [],
    });
    host.credentials = options.credentials;
    undo.push(await serveHost(folder, host, options.outbound));

    const kms = options.kms ?? createScriptedKms();
    const anchors = options.anchors ?? new Map<string, Anchor>();
    const places: AnchorPlace[] = [];
    const openAnchor = (place: AnchorPlace): Anchor => {
      places.push(place);
      const { owner } = place.store;
      const anchor = anchors.get(owner) ?? createMemoryAnchor(owner);
      anchors.set(owner, anchor);
      return anchor;
    };
    const ends: Failure[] = [];
    const computers = createScriptedComputers();
    const lines: LifeLine[] = [];
    const transport = await openTransport('local\n', folder, realTimers);
    const world: World = {
      nsm: createNsm(transport.nsm),
      vsock: transport.vsock,
      random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
      monotonic: () => monotonic,
      timers: options.timers ?? realTimers,
      schedule: options.schedule ?? realSchedule(),
      makeRecipientKey: () => (recipientKey ??= makeRecipientKey()),
      connectAws: options.connectAws ?? (() => Promise.resolve({ kms, openAnchor })),
      startComputer: options.startComputer ?? computers.start,
      confinement: () => Promise.resolve({ user: true, namespaces: true, seccomp: true, limits: true, cgroup: true }),
      report: (line) => lines.push(line),
      end: (failure) => ends.push(failure),
    };
    const keyed = await key(await boot(options.world?.(world) ?? world, policyText));
    undo.push(async () => transport.nsm.close());
    const serving = await serve(keyed);
    undo.push(() => serving.stop());

    const connectHere = async (): Promise<Socket> => {
      const socket = connect(join(folder, `guest-${PORTS.sessions}.sock`));
      socket.on('error', () => {});
      await once(socket, 'connect');
      return socket;
    };
    const digest = await policyDigest(policyText);
    return {
      policy,
      policyText,
      policyDigest: digest,
      keyed,
      host,
      kms,
      storage,
      anchors,
      places,
      ends,
      computers,
      root: issuer.root,
      lines,
      advance(milliseconds, { monotonic: along = true } = {}) {
        time += milliseconds;
        if (along) monotonic += milliseconds;
      },
      connect: connectHere,
      peer: async (party, more = {}) =>
        openPeer(await connectHere(), {
          party,
          keyArn: KEY_ARNS[party],
          policyDigest: digest,
          encrypt: (keyArn, plaintext, context) => kms.encrypt(keyArn, plaintext, context),
          pad: (name, bytes) =>
            Object.hasOwn(policy.functions, name)
              ? bucketOf(policy.functions[name]?.input.buckets ?? [], bytes)
              : undefined,
          ...more,
        }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Documents carry the harness's time, whoever signs them. */
function atTime(issuer: AttestationIssuer, now: () => number): AttestationIssuer {
  return { ...issuer, sign: (claims) => issuer.sign({ ...claims, timestamp: now() }) };
}

export const newRequestId = (): Uint8Array => new Uint8Array(randomBytes(32));
