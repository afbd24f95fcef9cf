/** Makes the calls of a plan, one after the other, and writes down what a host saw of each. */
import { openPlace } from './place.ts';
import type { Place, PlaceOptions, TimedSession } from './place.ts';
import { BUCKET, NAMES, policyOf, releaseOf } from './agreement.ts';
import type { ReleaseTimes } from './agreement.ts';
import { kindsOf } from './kinds.ts';
import type { Asked, Kind, KindName, Kinds, Outcome } from './kinds.ts';
import type { Plan, Step } from './plan.ts';
import { fragileModel, makePictures, plainModel, tooSlowModel } from './pictures.ts';
import type { Crossed } from './channel.ts';

export interface Seen extends Crossed {
  readonly kind: KindName;
  readonly outcome: Outcome;
  readonly isNew: boolean;
}

export interface Bench {
  readonly kinds: Kinds;
  readonly place: Place;
  make(step: Step): Promise<Seen>;
  /** Leaves time for what the last step needed afterwards. The next step is not known to it. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export interface BenchOptions extends Omit<PlaceOptions, 'policy'> {
  readonly times: ReleaseTimes;
}

/** How long before a call the one beside it is made. */
const BESIDE_MS = 2;

export async function openBench({ times, ...options }: BenchOptions): Promise<Bench> {
  const place = await openPlace({ policy: policyOf(times), ...options });
  try {
    const pictures = await makePictures();
    const prepared = {
      used: { function: NAMES.counter(0), requestId: crypto.getRandomValues(new Uint8Array(32)), input: pictures.red },
      exchanged: {
        function: NAMES.exchanged,
        requestId: crypto.getRandomValues(new Uint8Array(32)),
        input: pictures.deadly,
      },
    };
    const kinds = kindsOf(pictures, prepared);
    await place.contribute(NAMES.pictures, fragileModel());
    await place.contribute(NAMES.slow, tooSlowModel());
    await place.contribute(NAMES.exchanged, fragileModel());
    const sessions = { alice: await place.open('alice'), bob: await place.open('bob') };
    const apart = { alice: await place.open('alice'), bob: sessions.bob };
    const beside = { alice: await place.open('alice'), bob: await place.open('bob') };
    // Of every function, also of those that the policy does not have, or that take less.
    const ask = async (session: TimedSession, asked: Asked): Promise<Outcome> => {
      const afterMs = times[releaseOf(asked.function)];
      const terms = { input: { buckets: [BUCKET] }, release: { afterMs } };
      const answer = await session.call(asked.function, asked.requestId, asked.input, terms);
      return answer.t === 'answer' ? 'answer' : answer.refused;
    };
    await ask(sessions.alice, prepared.used);
    await ask(sessions.alice, { ...prepared.used, function: NAMES.spent });
    await ask(sessions.alice, prepared.exchanged);
    sessions.alice.crossed();
    await place.contribute(NAMES.exchanged, plainModel());
    await place.quiet.learn();

    const last = new Map<KindName, Asked>();
    /** Classes whose last answer the enclave has: to ask for it again needs no process. */
    const answered = new Set<KindName>();
    let neededJails = false;
    return {
      kinds,
      place,
      async make({ kind: name, isNew }) {
        const kind: Kind = kinds[name];
        const asked = kind.ask(isNew ? undefined : last.get(name));
        last.set(name, asked);
        neededJails = kind.jails && (isNew || !answered.has(name));
        const other = kind.beside === undefined ? undefined : kind.beside === 'same' ? kind.party : 'bob';
        const companion = other === undefined ? undefined : ask(beside[other], kinds.free.ask(undefined));
        if (companion !== undefined) await new Promise((resolve) => setTimeout(resolve, BESIDE_MS));
        const session = (kind.apart === true ? apart : sessions)[kind.party];
        const outcome = await ask(session, asked);
        const crossed = session.crossed();
        if (kind.kept && outcome === kind.outcome) answered.add(name);
        else answered.delete(name);
        if (other !== undefined) {
          await companion;
          beside[other].crossed();
        }
        return { ...crossed, kind: name, outcome, isNew };
      },
      async settle() {
        if (neededJails) await place.quiet.reached();
      },
      close: () => place.close(),
    };
  } catch (error) {
    await place.close();
    throw error;
  }
}

export interface Progress {
  readonly done: number;
  readonly of: number;
  /** Since the start of this part. */
  readonly milliseconds: number;
}

/** Calls of the steps, in their order. Throws the signal's reason. */
export async function measure(
  bench: Bench,
  steps: Plan['counted'],
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<readonly Seen[]> {
  const all: Seen[] = [];
  const start = performance.now();
  for (const step of steps) {
    signal.throwIfAborted();
    all.push(await bench.make(step));
    await bench.settle();
    if (all.length % 1_000 === 0) {
      onProgress({ done: all.length, of: steps.length, milliseconds: performance.now() - start });
    }
  }
  return all;
}
