/** What befalls the real programs: one blow at a time, by the dice of a run. Everything is well again after each, or soon. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../simulation/prng.ts';
import type { RealCollaboration, RealPlace } from './place.ts';
import { COPIES, OWNERS } from './place.ts';
import type { Tally } from './tally.ts';

export interface Storm {
  strike(random: Prng): Promise<void>;
}

interface Blow {
  readonly weight: number;
  /** Gives what was done, which may be nothing. */
  readonly strike: (random: Prng) => Promise<readonly string[]>;
}

const ROUGH_MS = 1_500;

export function createStorm(real: RealPlace, collaboration: RealCollaboration, tally: Tally): Storm {
  const { place, front, line, moto } = real;
  const { stores, kind } = collaboration;

  const killOne = async (random: Prng): Promise<boolean> => {
    const gates = await collaboration.gates();
    return gates.length > 0 && signal(random.pick(gates), 'SIGKILL');
  };
  /** Nobody's calls fail for it: what could not be started is, in a moment (`keepUp`). */
  const launch = (copies?: number): Promise<void> => collaboration.launch(copies).catch(() => {});
  const restart = async (meanwhile: () => Promise<void>): Promise<void> => {
    place.orchestrator.child.kill('SIGKILL');
    await place.orchestrator.outcome;
    await meanwhile();
    await place.startOrchestrator();
    await launch();
  };
  const stop = async (pid: number, ms: number): Promise<void> => {
    signal(pid, 'SIGSTOP');
    await sleep(ms);
    signal(pid, 'SIGCONT');
  };

  const blows: readonly Blow[] = [
    {
      weight: 10,
      async strike(random) {
        const was = await killOne(random);
        await sleep(50 * random.next());
        await launch();
        return was ? ['an enclave is killed'] : [];
      },
    },
    {
      weight: 8,
      async strike(random) {
        const gates = await collaboration.gates();
        if (gates.length === 0) return [];
        await stop(random.pick(gates), 500 * random.next());
        return ['an enclave stands still'];
      },
    },
    {
      weight: 2,
      async strike(random) {
        await launch(COPIES + 1);
        await sleep(400 * random.next());
        await killOne(random);
        await launch();
        return ['a third enclave is started from the image, and one of three killed'];
      },
    },
    {
      weight: 3,
      async strike() {
        await restart(() => collaboration.keepRecords().catch(() => {}));
        return ['the orchestrator is killed'];
      },
    },
    {
      weight: 1,
      async strike() {
        await restart(() => collaboration.rollRecordsBack());
        await sleep(300);
        await restart(() => collaboration.healRecords());
        return ["the host's records are rolled back", 'the orchestrator is killed', 'the orchestrator is killed'];
      },
    },
    {
      weight: 2,
      async strike() {
        await real.restartAws();
        return [kind === 's3' ? 'the local AWS is killed, anchors and all' : 'the local AWS is killed'];
      },
    },
    {
      weight: 12,
      async strike(random) {
        const store = stores[random.pick(OWNERS)];
        await store.hide();
        await sleep(700 * random.next());
        await store.show();
        return ['an anchor goes and comes back'];
      },
    },
    {
      weight: kind === 'moto' ? 4 : 0,
      async strike(random) {
        if (moto === undefined) return [];
        await stop(moto.pid, 1_500 * random.next());
        return ["moto's process stands still"];
      },
    },
    {
      weight: 18,
      strike(random) {
        line.unsettle(ROUGH_MS, random.fork('line'));
        return Promise.resolve(['messages between parties and enclaves go astray']);
      },
    },
    {
      weight: kind === 'folder' ? 0 : 18,
      strike(random) {
        const isUnsettled = stores[random.pick(OWNERS)].unsettle(ROUGH_MS, random.fork('bucket'));
        return Promise.resolve(isUnsettled ? ["requests to an anchor's S3 go wrong"] : []);
      },
    },
    {
      weight: 4,
      strike(random) {
        front.unsettle('kms', ROUGH_MS, random.fork('kms'));
        return Promise.resolve(["the enclaves' requests to KMS go wrong"]);
      },
    },
    { weight: kind === 'folder' ? 0 : 10, strike: (random) => stores[random.pick(OWNERS)].hideTicket(random) },
    { weight: 6, strike: (random) => stores[random.pick(OWNERS)].putForeign(random) },
  ];
  const bag = blows.flatMap((blow) => Array.from({ length: blow.weight }, () => blow));
  return {
    async strike(random) {
      for (const what of await random.pick(bag).strike(random)) tally.count(what);
    },
  };
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false; // it has ended meanwhile
  }
}
