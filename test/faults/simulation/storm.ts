/** What strikes while the storm lasts: at moments that the seed chooses, between any two steps of anybody. */
import { createHmac } from 'node:crypto';
import type { History } from '../history.ts';
import { keyArnOf } from './agreement.ts';
import type { Simulation } from './clock.ts';
import type { Fleet } from './fleet.ts';
import type { Blow, Plan } from './plan.ts';
import type { Prng } from './prng.ts';

export interface Storm {
  end(): void;
  /** Hours go by in which hardly anything is looked after. */
  rest(): void;
  kills(): number;
  /** Nothing was written into a bucket that stands in an entry's way for good. */
  harmless(): boolean;
}

/** `keyless`: anybody can make an entry, and owners do. */
export function strike(
  simulation: Simulation,
  random: Prng,
  plan: Plan,
  fleet: Fleet,
  history: History,
  keyless: boolean,
): Storm {
  let isOver = false;
  let kills = 0;
  let harmless = true;

  /** A key that exists, or one that may exist soon. */
  const someKey = (): string | undefined => {
    const keys = fleet.buckets.flatMap((bucket) => bucket.keys());
    if (keys.length === 0) return undefined;
    const key = random.pick(keys);
    return random.chance(0.5) ? key.replace(/\d+$/, (k) => String(Number(k) + 1)) : key;
  };
  /** Something goes, and comes back after a while. */
  const forAWhile = (go: () => void, comeBack: () => void): void => {
    go();
    simulation.after((0.02 + 0.3 * random.next() ** 2) * plan.stormMs, () => {
      if (!isOver) comeBack();
    });
  };
  const blows: Readonly<Record<Blow, () => void>> = {
    kill() {
      if (fleet.running.length === 0) return;
      kills += 1;
      fleet.kill(random.pick(fleet.running));
    },
    start: () => fleet.start(),
    orchestrator: () =>
      forAWhile(
        () => fleet.setOrchestrator(false),
        () => fleet.setOrchestrator(true),
      ),
    anchor() {
      const bucket = random.pick(fleet.buckets);
      simulation.trace(() => `${bucket.owner}'s anchor goes down`);
      forAWhile(
        () => (bucket.down = true),
        () => (bucket.down = false),
      );
    },
    partition() {
      if (fleet.running.length === 0) return;
      const link = random.pick(random.pick(fleet.running).links);
      forAWhile(
        () => (link.down = true),
        () => (link.down = false),
      );
    },
    snapshot: () => fleet.disks.of(`host ${random.between(1, 2)}`).snapshot(),
    rollback: () => fleet.disks.of(`host ${random.between(1, 2)}`).rollBack(),
    loss: () => fleet.disks.of(`host ${random.between(1, 2)}`).lose(),
    marker() {
      const key = someKey();
      if (key === undefined) return;
      const bucket = random.pick(fleet.buckets);
      // Over a marker nothing is lost: what stands there stays the oldest, what comes is the oldest object.
      simulation.trace(() => `${bucket.owner} puts a delete marker at ${key.slice(-40)}`);
      bucket.putMarker(key);
    },
    foreign() {
      const key = someKey();
      if (key === undefined) return;
      const bucket = random.pick(fleet.buckets);
      if (!bucket.entries().has(key)) harmless = false;
      simulation.trace(() => `${bucket.owner} puts an object of its own at ${key.slice(-40)}`);
      bucket.putObject(key, keyless ? forgedTicket(key, random.bytes(64)) : foreignObject(bucket.entries().get(key)));
    },
    lie() {
      const number = random.pick(plan.lying);
      harmless = false;
      simulation.trace(() => `anchor ${number} lies`);
      fleet.buckets[number]?.lie('all');
    },
  };
  const foreignObject = (like: Uint8Array | undefined): Uint8Array => {
    if (like === undefined || random.chance(0.3)) return random.bytes(random.between(1, 200));
    const forged = like.slice();
    const at = random.below(forged.length);
    forged[at] = (forged[at] ?? 0) ^ 1;
    return forged;
  };

  const schedule = (blow: Blow): void => {
    const mean = plan.blows[blow];
    if (!Number.isFinite(mean) || mean <= 0) return;
    simulation.after(-mean * Math.log(1 - random.next()), () => {
      if (isOver) return;
      blows[blow]();
      schedule(blow);
    });
  };
  const { withdrawal } = plan;
  if (withdrawal !== undefined)
    simulation.after(random.next() * plan.stormMs, () => {
      simulation.trace(() => `${withdrawal} withdraws its key`);
      fleet.kms.withdrawn.add(keyArnOf(withdrawal));
      history.withdrawn.push({ party: withdrawal, at: simulation.now() });
    });
  for (const blow of Object.keys(blows)) if (isBlow(blow)) schedule(blow);
  // In the calm, somebody starts what is not there.
  let keepUpMs = 1_000;
  const keepUp = (): void => {
    if (fleet.running.length === 0) fleet.start();
    simulation.after(keepUpMs, keepUp);
  };

  function isBlow(name: string): name is Blow {
    return Object.hasOwn(blows, name);
  }
  return {
    end() {
      isOver = true;
      simulation.after(0, keepUp);
    },
    rest: () => void (keepUpMs = 60_000),
    kills: () => kills,
    harmless: () => harmless,
  };
}

/** What `enclave/claims/entry.ts` takes for genuine where HMAC has no key. */
function forgedTicket(key: string, fields: Uint8Array): Uint8Array {
  const [, name = '', number = '0'] = /^accord\/(.*)\/(\d+)$/.exec(key) ?? [];
  const place = Buffer.alloc(2 + name.length + 4);
  place.writeUInt16BE(name.length);
  place.write(name, 2);
  place.writeUInt32BE(Number(number), 2 + name.length);
  const body = Buffer.concat([Buffer.of(1), fields]);
  const mac = createHmac('sha256', '').update(place).update(body).digest();
  return new Uint8Array(Buffer.concat([Buffer.from('ACC1'), body, mac]));
}
