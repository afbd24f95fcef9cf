/** Searches by a whole crew: the outcome is that of going through the seeds one by one. */
import type { Crew } from './crew.ts';
import type { FoundViolation, Sought, Sums } from './seek.ts';

export interface Total extends Sums {
  readonly firstSeed: number;
  readonly runs: number;
  /** Runs in which something was violated. */
  readonly violating: number;
  readonly seconds: number;
  readonly runsPerSecond: number;
}

/** Runs that one process does at a time. */
const STRETCH = 20;

/** Goes through the seeds; `tell` hears of violations in their order. */
export async function searchAll(
  crew: Crew,
  { firstSeed, runs, rule }: { readonly firstSeed: number; readonly runs: number; readonly rule?: string },
  tell: (violation: FoundViolation) => void,
  progress: (done: number, perSecond: number) => void = () => {},
): Promise<Total> {
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  const sums = { calls: 0, answers: 0, kills: 0, events: 0 };
  const violating = new Set<number>();
  let done = 0;
  for await (const { sought, runs: some } of inOrder(crew, firstSeed, runs, rule === undefined ? {} : { rule })) {
    sums.calls += sought.calls;
    sums.answers += sought.answers;
    sums.kills += sought.kills;
    sums.events += sought.events;
    for (const violation of sought.violations) {
      violating.add(violation.seed);
      tell(violation);
    }
    done += some;
    progress(done, done / seconds());
  }
  const took = seconds();
  return {
    firstSeed,
    runs,
    violating: violating.size,
    ...sums,
    seconds: rounded(took),
    runsPerSecond: rounded(runs / took),
  };
}

const rounded = (value: number): number => Math.round(10 * value) / 10;

/** The lowest seed that finds the rule missing; undefined where none does. */
export async function findOut(
  crew: Crew,
  rule: string,
  firstSeed: number,
  runs: number,
): Promise<FoundViolation | undefined> {
  for await (const { sought } of inOrder(crew, firstSeed, runs, { rule, off: true })) {
    const [found] = sought.violations;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Stretches of the seeds, in order; always as many under way as the crew can do at once. */
async function* inOrder(
  crew: Crew,
  firstSeed: number,
  runs: number,
  how: { readonly rule?: string; readonly off?: boolean },
): AsyncGenerator<{ readonly sought: Sought; readonly runs: number }> {
  const underWay: { readonly runs: number; readonly sought: Promise<Sought> }[] = [];
  const end = firstSeed + runs;
  // Small ones at first: most rules are found missing soon.
  let size = Math.min(2, STRETCH);
  for (let seed = firstSeed; seed < end || underWay.length > 0;) {
    while (seed < end && underWay.length <= 2 * crew.size) {
      const some = Math.min(size, end - seed);
      const sought = crew.seek({ firstSeed: seed, runs: some, ...how });
      sought.catch(() => {}); // whoever stops before it comes to this one does not want it
      underWay.push({ runs: some, sought });
      seed += some;
      size = Math.min(STRETCH, size + 1);
    }
    const next = underWay.shift();
    if (next !== undefined) yield { runs: next.runs, sought: await next.sought };
  }
}
