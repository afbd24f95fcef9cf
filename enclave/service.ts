/**
 * The life of an enclave: Booted -> Keyed -> Serving -> Stopped. Each step takes what only the one before it gives.
 *
 *   boot    reads the policy (canonical bytes or nothing), asks the module who it is and what time it is
 *   key     makes the state key, begins the boot's RSA key, learns from the host what it checks against the policy
 *   serve   takes connections
 */
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import { policyDigest } from '../policies/digest.ts';
import type { Failure } from '../policies/failure.ts';
import type { CanonicalPolicy, PolicyDigest } from '../policies/model.ts';
import type { Issuer } from './attest/issue.ts';
import { createIssuer } from './attest/issue.ts';
import type { Nsm } from './attest/nsm.ts';
import { createCallsUnderWay } from './calls-under-way.ts';
import { createGivenAnswers } from './claims/given.ts';
import { createContributions } from './contributions.ts';
import { createConnections } from './connections.ts';
import type { RandomSource } from './crypto/random.ts';
import { mixRandom } from './crypto/random.ts';
import type { Timers } from './deadline.ts';
import { toHex } from './encoding/hex.ts';
import type { Gate, StartComputer } from './gate.ts';
import { confirmKeys } from './gate.ts';
import { attestedKms } from './kms/attested.ts';
import type { Kms } from './kms/client.ts';
import type { Confinement } from './jail/confinement.ts';
import type { RecipientKey } from './kms/recipient.ts';
import type { Report } from './life.ts';
import { createModelShelf } from './models.ts';
import type { Schedule } from './pipeline/schedule.ts';
import { createTerms } from './pipeline/terms.ts';
import { createSlots } from './slots.ts';
import type { OpenAnchor } from './state/anchor-doors.ts';
import { openInMemory } from './state/memory-opening.ts';
import { openSealed } from './state/sealed-opening.ts';
import { isSealed } from './state/sealed-policy.ts';
import { createTurns } from './state/turns.ts';
import { useState } from './state/use.ts';
import type { Host, LaunchInformation } from './vsock/host.ts';
import { createHost } from './vsock/host.ts';
import { launchInformation } from './vsock/launch-information.ts';
import type { Vsock } from './vsock/socket.ts';
import { PORTS } from './vsock/socket.ts';

const BOOTED: unique symbol = Symbol('Booted');

const KEYED: unique symbol = Symbol('Keyed');

/** Everything outside the program. Only `main.ts` has real ones; tests and simulations bring their own. */
export interface World {
  readonly nsm: Nsm;
  readonly vsock: Vsock;
  /** The kernel's randomness; mixed with the module's before it is used for anything. */
  readonly random: RandomSource;
  /** Milliseconds from any start, never backwards. */
  readonly monotonic: () => number;
  readonly timers: Timers;
  /** When answers leave, by a clock of its own. */
  readonly schedule: Schedule;
  /** A fresh RSA-OAEP key with SHA-256, its private half not extractable. */
  readonly makeRecipientKey: () => Promise<RecipientKey>;
  /** Reaches AWS through the host's relay, TLS ending inside. */
  readonly connectAws: (parts: AwsParts) => Promise<Aws>;
  readonly startComputer: StartComputer;
  /** Rejects where jails are held by too little to serve with. */
  readonly confinement: () => Promise<Confinement>;
  readonly report: Report;
  /** Ends the program: a party wants no more of it. */
  readonly end: (failure: Failure) => void;
}

export interface Aws {
  readonly kms: Kms;
  /** The store that the policy names; a folder too, where the policy is for local trials. */
  readonly openAnchor: OpenAnchor;
}

export interface AwsParts {
  readonly policy: CanonicalPolicy;
  readonly launch: LaunchInformation;
  readonly host: Host;
  readonly now: () => Promise<number>;
}

export interface Booted {
  readonly world: World;
  readonly policy: CanonicalPolicy;
  readonly policyDigest: PolicyDigest;
  readonly debug: boolean;
  readonly issuer: Issuer;
  readonly [BOOTED]: true;
}

export interface Keyed {
  readonly world: World;
  readonly gate: Gate;
  readonly [KEYED]: true;
}

export interface Serving {
  /** Takes no more connections, ends those that are open and all jails. Resolves when nothing is left. */
  stop(): Promise<void>;
}

/** `policyText`: the canonical policy, as the image carries it. */
export async function boot(world: World, policyText: string): Promise<Booted> {
  const policy = parseCanonicalPolicy(policyText);
  const digest = await policyDigest(policyText);
  const issuer = createIssuer(world.nsm, digest, world.monotonic);
  const pcr0 = await world.nsm.describePcr(0);
  const debug = pcr0.every((byte) => byte === 0);
  const time = new Date(await issuer.clock.now()).toISOString();
  world.report({ accord: 'booted', policyDigest: digest, pcr0: toHex(pcr0), debug, time });
  return { world, policy, policyDigest: digest, debug, issuer, [BOOTED]: true };
}

export async function key({ world, policy, policyDigest, debug, issuer }: Booted): Promise<Keyed> {
  const { nsm, timers } = world;
  const random = mixRandom([world.random, (bytes) => nsm.random(bytes)]);
  const host = createHost(world.vsock, timers);
  const launch = await launchInformation(host, timers);
  const keyring = await confirmKeys(policy, launch.keyArns);
  // Seconds on a slow processor, and needed only when KMS is first asked: parties may be welcomed meanwhile. Were it to
  // fail, the promise below would be nobody's, and that ends the enclave.
  const recipient = world.makeRecipientKey();
  void (async () => await recipient)();
  const aws = await world.connectAws({ policy, launch, host, now: () => issuer.clock.now() });
  const kms = attestedKms(aws.kms, recipient, (spki) => issuer.forKms(spki));
  const fault = (error: unknown): void => reportFault(world, error);
  const now = (): Promise<number> => issuer.clock.now();
  const contributions = createContributions(() => gate, world.report);
  const opening = isSealed(policy)
    ? openSealed({
        policy,
        policyDigest,
        keyring,
        kms,
        host,
        openAnchor: aws.openAnchor,
        use: useState({ policy, policyDigest, host, random, timers }),
        restore: contributions.restore,
        now,
        timers,
        random,
        report: world.report,
        fault,
        withdrawn: world.end,
      })
    : await openInMemory({ policyDigest, random, timers });
  const gate: Gate = {
    policy,
    policyDigest,
    debug,
    issuer,
    keyring,
    decrypt: kms.decrypt,
    recipientKeyMade: recipient,
    terms: createTerms(policy.functions),
    opening,
    given: createGivenAnswers(),
    models: createModelShelf(),
    contributions,
    slots: createSlots(),
    underWay: createCallsUnderWay(timers),
    intake: createTurns(),
    inquiries: createTurns(),
    schedule: world.schedule,
    startComputer: world.startComputer,
    confinement: world.confinement,
    host,
    random,
    timers,
    fault,
  };
  world.report({ accord: 'keyed', parties: keyring.size });
  return { world, gate, [KEYED]: true };
}

export async function serve({ world, gate }: Keyed): Promise<Serving> {
  const confinement = await world.confinement();
  const connections = createConnections(gate, (error) => reportFault(world, error));
  const listener = await world.vsock.listen(PORTS.sessions, (stream) => connections.accept(stream));
  world.report({ accord: 'serving', port: PORTS.sessions, confinement });
  return {
    async stop() {
      const ending = listener.close();
      await connections.close();
      const underWay = gate.underWay.close();
      gate.opening.close();
      await gate.models.close();
      await underWay;
      // What calls had borrowed until then.
      await gate.models.close();
      await ending;
    },
  };
}

/** Of an error of our own the host learns the kind alone. */
function reportFault(world: World, error: unknown): void {
  world.report({ accord: 'fault', reason: error instanceof Error ? error.name : 'unknown' });
}
