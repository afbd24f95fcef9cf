/** The copies of the enclave and everything around them: hosts, links, anchors, KMS. What blows strike. */
import { retainUntil } from '../../../enclave/claims/retention.ts';
import { createS3Anchor } from '../../../enclave/claims/s3-anchor.ts';
import type { LifeLine } from '../../../enclave/life.ts';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { createSchedule } from '../../../enclave/pipeline/schedule.ts';
import type { World } from '../../../enclave/service.ts';
import type { Failure } from '../../../policies/failure.ts';
import type { History } from '../history.ts';
import { keyArnOf } from './agreement.ts';
import type { Agreed } from './agreement.ts';
import type { Bucket } from './bucket.ts';
import { createBucket } from './bucket.ts';
import type { Simulation } from './clock.ts';
import { simulatedComputers } from './computer.ts';
import type { Disks } from './disk.ts';
import { createDisks } from './disk.ts';
import type { Copy } from './enclave.ts';
import { startCopy } from './enclave.ts';
import type { SimulatedHost } from './host.ts';
import { createSimulatedHost } from './host.ts';
import type { SimulatedKms } from './kms.ts';
import { createSimulatedKms } from './kms.ts';
import type { Line } from './line.ts';
import { createLine } from './line.ts';
import type { Link } from './link.ts';
import { createLink } from './link.ts';
import { START, createSimulatedNsm } from './nsm.ts';
import type { Route } from './party.ts';
import type { Plan, Weather } from './plan.ts';
import { CALM } from './plan.ts';
import { recipientKey } from './platform.ts';
import type { Prng } from './prng.ts';
import type { Process } from './process.ts';
import { createProcess } from './process.ts';
import type { Weakening } from './weakening.ts';

export interface Slot {
  readonly name: string;
  readonly copy: Copy;
  readonly process: Process;
  readonly host: SimulatedHost;
  /** To each anchor. */
  readonly links: readonly Link[];
}

export interface Fleet {
  readonly kms: SimulatedKms;
  readonly buckets: readonly Bucket[];
  readonly disks: Disks;
  /** Copies that run now. */
  readonly running: readonly Slot[];
  readonly contributions: Map<string, Uint8Array>;
  start(): void;
  kill(slot: Slot): void;
  /** The orchestrator goes, and every connection with it. */
  setOrchestrator(isUp: boolean): void;
  connect(to?: string): Route | undefined;
  /** No more faults. */
  calm(): void;
}

export interface FleetParts {
  readonly simulation: Simulation;
  readonly random: Prng;
  readonly plan: Plan;
  readonly agreed: Agreed;
  readonly history: History;
  readonly weakening: Weakening | undefined;
}

export function createFleet({ simulation, random, plan, agreed, history, weakening }: FleetParts): Fleet {
  const kms = createSimulatedKms(random.fork('kms'));
  const buckets = plan.parties
    .slice(0, plan.anchors)
    .map((owner) => createBucket(owner, random.fork(`bucket ${owner}`)));
  const disks = createDisks(plan.forkedDisks, plan.storm.cheats, random.fork('disks'));
  const contributions = new Map<string, Uint8Array>();
  const running: Slot[] = [];
  const lines = new Map<Line, Slot>();
  const keyArns = plan.parties.map(keyArnOf);
  let weather: Weather = plan.storm;
  let isUp = true;
  let number = 0;
  let connections = 0;

  const worldOf = (
    process: Process,
    host: SimulatedHost,
    links: readonly Link[],
    kmsLink: Link,
    end: (failure: Failure) => void,
  ): World => {
    const own = random.fork(process.name);
    const secret = own.bytes(32);
    const spki = own.bytes(64);
    return {
      nsm: createSimulatedNsm(simulation, own),
      vsock: host.vsock,
      random: (bytes) => own.bytes(bytes),
      monotonic: () => simulation.now(),
      timers: process.timers,
      schedule: createSchedule({
        now: () => simulation.now(),
        timers: process.timers,
        coarseMs: 0,
        immediate: (run) => void process.timers(0, run),
        nap: () => {},
      }),
      makeRecipientKey: async () => ({ privateKey: recipientKey(secret), spki, id: await sha256(spki) }),
      connectAws: async () => ({
        kms: kms.port(process, kmsLink, { secret, id: await sha256(spki) }),
        openAnchor: ({ store }) => {
          const i = buckets.findIndex(({ owner }) => owner === store.owner);
          const [found, link] = [buckets[i], links[i]];
          if (found === undefined || link === undefined || 'folder' in store) throw new Error('no such anchor');
          const s3 = found.port(process, link, process.name);
          const anchor = createS3Anchor({
            owner: store.owner,
            s3: weakening?.s3?.(s3, process.name) ?? s3,
            place: `s3://${store.s3.bucket}`,
            prefix: store.s3.prefix,
            retainUntil: retainUntil(agreed.policy.until),
            timers: process.timers,
          });
          return weakening?.anchor?.(anchor, process.name) ?? anchor;
        },
      }),
      startComputer: simulatedComputers(process, own, () => weather.computeFails),
      confinement: () => Promise.resolve({ user: true, namespaces: true, seccomp: true, limits: true, cgroup: true }),
      end,
      report: (line: LifeLine) => {
        simulation.trace(() => `${process.name} says ${JSON.stringify(line)}`);
        if (line.accord === 'fault') history.faults.push(`${process.name}: ${line.reason}`);
      },
    };
  };

  const fleet: Fleet = {
    kms,
    buckets,
    disks,
    running,
    contributions,
    start() {
      if (running.length >= plan.copies || !isUp) return;
      number += 1;
      // Hosts are few, copies come and go on them.
      const hostName = `host ${1 + (number % 2)}`;
      const process = createProcess(simulation, `enclave ${number}`);
      const own = random.fork(`links of ${process.name}`);
      const isCut = (): boolean => !isUp;
      const links = buckets.map(({ owner }) => createLink(simulation, own, `${owner}'s anchor`));
      const kmsLink = createLink(simulation, own, 'KMS');
      for (const link of [...links, kmsLink]) link.isCut.push(isCut);
      const host = createSimulatedHost(simulation, own, process, {
        keyArns,
        disk: disks.of(hostName),
        contribution: (name) => contributions.get(name),
        policy: () => undefined,
        credentials: () =>
          plan.hostRole
            ? {
                accessKeyId: 'ASIAHOST',
                secretAccessKey: 'secret',
                sessionToken: 'token',
                expiresAt: START + Math.floor(simulation.now()) + 3_600_000,
              }
            : undefined,
      });
      const leave = (why: string): void => {
        simulation.trace(() => `${process.name} ends: ${why}`);
        fleet.kill(slot);
      };
      const copy = startCopy({
        process,
        world: worldOf(process, host, links, kmsLink, (failure) => leave(`${failure.code}: ${failure.message}`)),
        policyText: agreed.text,
        ...(weakening?.gate === undefined ? {} : { weaken: weakening.gate }),
        ...(weakening?.policy === undefined ? {} : { policy: weakening.policy }),
        ended: (error: Failure) => leave(`${error.code}: ${error.message}`),
        fault: (error) => {
          history.faults.push(
            `${process.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
          );
          leave('a fault');
        },
      });
      const slot: Slot = { name: process.name, copy, process, host, links };
      simulation.trace(() => `${process.name} starts on ${hostName}`);
      running.push(slot);
      history.started.set(slot.name, simulation.now());
      apply(slot, kmsLink);
      process.onKill(() => {
        running.splice(running.indexOf(slot), 1);
        for (const [line, to] of lines) if (to === slot) line.cut();
      });
    },
    kill: (slot) => slot.process.kill(),
    setOrchestrator(up) {
      isUp = up;
      for (const { host } of running) host.down = !up;
      if (!up) for (const line of lines.keys()) line.cut();
    },
    connect(to) {
      const able = running.filter(({ copy, name }) => copy.gate !== undefined && (to === undefined || to === name));
      if (!isUp || able.length === 0) return undefined;
      const slot = random.pick(able);
      connections += 1;
      const connection = connections;
      const line = createLine(simulation, random.fork('line'), () => weather.line);
      lines.set(line, slot);
      simulation.after(1, () => slot.copy.connect(connection, line.enclave));
      return { connection, line: line.party, enclave: slot.name };
    },
    calm() {
      weather = CALM;
      disks.heal();
      for (const bucket of buckets) {
        bucket.conflicts = 0;
        bucket.down = false;
        if (!plan.forksTickets) bucket.lie('nothing');
      }
      fleet.setOrchestrator(true);
      // Whoever still waits on a line that is dead hears of it now.
      for (const line of lines.keys()) line.cut();
      lines.clear();
      for (const slot of running) calmDown.get(slot)?.();
    },
  };
  const calmDown = new Map<Slot, () => void>();
  const apply = (slot: Slot, kmsLink: Link): void => {
    const set = (): void => {
      for (const link of slot.links) {
        link.fates = weather.anchors;
        link.down = false;
      }
      kmsLink.fates = weather.kms;
      slot.host.faults = weather.host;
      slot.host.down = !isUp;
    };
    set();
    calmDown.set(slot, set);
  };
  for (const bucket of buckets) bucket.conflicts = weather.conflicts;
  if (plan.forksTickets) for (const i of plan.lying) buckets[i]?.lie('tickets');
  return fleet;
}
