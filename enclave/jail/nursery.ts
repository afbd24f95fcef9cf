/**
 * Where successors of jails grow up: so many at a time and no more, so that starting processes disturbs nobody's call more
 * than it must. One for all functions of an enclave; but each function can always have one growing up, so that a model
 * that takes its time keeps nobody else's waiting.
 */
export interface Nursery {
  /** A function's own place in it. */
  family(): Family;
}

export interface Family {
  /**
   * Runs `make` when it is its turn. What it throws is told to nobody: why a model does not load is for its owner, a host that
   * heard of it would hear a hostile model's words. Whoever takes what could not be made finds it dead, and makes another.
   */
  raise(make: () => Promise<void>): void;
  /** Runs `end`, which ends processes, at a moment like those at which they are started. It must not throw. */
  part(end: () => void): void;
}

interface Waiting {
  readonly since: number;
  readonly family: { growing: number };
  readonly make: () => Promise<void>;
}

/** Of the gate's schedule: this process is held up for some milliseconds by the start or the end of another one. */
interface ClockedGaps {
  readonly now: () => number;
  /** Runs `run` where nothing waits for this process. `since`: by `now`, when it was first wanted. */
  readonly inGap: (run: () => void, since: number) => void;
}

const AT_ONCE: ClockedGaps = { now: () => 0, inGap: (run) => run() };

/** `atOnce`: the machine's cores. Processes start and end in `gaps`, by when they were asked for here. Default: at once. */
export function createNursery(atOnce: number, { now, inGap }: ClockedGaps = AT_ONCE): Nursery {
  const waiting: Waiting[] = [];
  let busy = 0;
  const grow = async ({ family, make }: Waiting): Promise<void> => {
    try {
      await make();
    } catch {
      // See `raise`.
    } finally {
      busy--;
      family.growing--;
      next();
    }
  };
  const next = (): void => {
    const turn = waiting.findIndex(({ family }) => busy < atOnce || family.growing === 0);
    const [first] = turn === -1 ? [] : waiting.splice(turn, 1);
    if (first === undefined) return;
    busy++;
    first.family.growing++;
    inGap(() => void grow(first), first.since);
    next();
  };
  return {
    family() {
      const family = { growing: 0 };
      return {
        raise(make) {
          waiting.push({ since: now(), family, make });
          next();
        },
        part: (end) => inGap(end, now()),
      };
    },
  };
}
