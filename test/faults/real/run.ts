/**
 * Runs of the real programs, some at a time over the same two enclaves: in each, two parties want more than their quota of
 * a counter of its own, and a blow or two fall while they ask, by its own seed's dice, which strike the others too. Once
 * all blows have fallen everything is well, and everybody keeps asking to the end.
 */
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Person } from '../../flow/collaboration.ts';
import type { Violation } from '../check.ts';
import { check } from '../check.ts';
import type { History, Wanted } from '../history.ts';
import { createHistory } from '../history.ts';
import { createPrng } from '../simulation/prng.ts';
import type { Prng } from '../simulation/prng.ts';
import type { RealCollaboration } from './place.ts';
import { COPIES, OWNERS, QUOTAS, counterOf } from './place.ts';
import type { Sessions } from './sessions.ts';
import { createSessions } from './sessions.ts';
import type { Storm } from './storm.ts';

export interface RealRun {
  readonly seed: number;
  /** Number of its counter. */
  readonly counter: number;
}

export interface RealResult extends RealRun {
  readonly violations: readonly Violation[];
  readonly answers: number;
  readonly attempts: number;
}

const CALM_MS = 300_000;
/** How long a question is waited for: while messages are lost, and after. */
const PATIENCE_MS = { storm: 10_000, calm: 60_000 } as const;
const PAUSE_MS = { first: 200, most: 3_000 } as const;
/** Where a copy is away most wait until those who attend it are through; some knock all the same. */
const AWAY_MS = 400;
const KNOCK = 0.1;
/** Of a run's further blows. */
const ANOTHER = 0.3;

interface Weather {
  now: keyof typeof PATIENCE_MS;
}

export async function realRuns(
  collaboration: RealCollaboration,
  storm: Storm,
  runs: readonly RealRun[],
): Promise<readonly RealResult[]> {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const weather: Weather = { now: 'storm' };
  const sessions = createSessions(collaboration);
  await collaboration.launch();
  const keeping = [keepUp(collaboration, over.signal)];
  for (const party of OWNERS)
    for (let copy = 1; copy <= COPIES; copy += 1) keeping.push(attend(sessions, weather, party, copy, over.signal));
  const asking: Promise<void>[] = [];
  const histories: History[] = [];
  for (const { seed, counter } of runs) {
    const random = createPrng(seed, 'real');
    const history = createHistory();
    histories.push(history);
    for (const party of OWNERS)
      for (let i = 0; i <= QUOTAS[party]; i += 1)
        asking.push(pursue(sessions, history, weather, party, counterOf(counter), random.fork(party), over.signal));
    const dice = random.fork('storm');
    do {
      await sleep(400 * dice.next());
      await storm.strike(dice);
    } while (dice.chance(ANOTHER));
  }
  weather.now = 'calm';
  await Promise.race([Promise.all(asking), sleep(CALM_MS, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
  await sessions.close();
  await Promise.allSettled([...asking, ...keeping]);
  await sessions.close();

  const entries = await Promise.all(
    OWNERS.map((owner) => collaboration.stores[owner].entries(new Set(runs.map(({ counter }) => counterOf(counter))))),
  );
  return runs.map((run, i) => {
    const history = histories[i] ?? createHistory();
    const violations = check(history, {
      functions: { [counterOf(run.counter)]: { kind: 'counter', calls: QUOTAS } },
      quorum: OWNERS.length,
      entries,
      demandAnswers: true,
      demandWholeQuota: true,
      demandHonestRefusals: true,
      leaseMs: Infinity,
    });
    const answers = history.attempts.filter(({ outcome }) => 'answer' in outcome).length;
    return { ...run, violations, answers, attempts: history.attempts.length };
  });
}

/** The orchestrator may not have noticed yet that an enclave is gone when it is asked to start what is missing. */
async function keepUp(collaboration: RealCollaboration, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await collaboration.launch().catch(() => {});
    await sleep(1_500, undefined, { signal: over }).catch(() => {});
  }
}

/** A word with this copy now and then, for what needs the party's key. */
async function attend(
  sessions: Sessions,
  weather: Weather,
  party: Person,
  copy: number,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    const isThere = await sessions.greet(party, copy, PATIENCE_MS[weather.now]).then(
      () => true,
      () => false,
    );
    await sleep(isThere ? 1_000 : 300, undefined, { signal: over }).catch(() => {});
  }
}

const FINAL: ReadonlySet<string> = new Set(['quota-exceeded', 'request-reused', 'changed', 'not-permitted']);

async function pursue(
  sessions: Sessions,
  history: History,
  weather: Weather,
  party: Person,
  name: string,
  random: Prng,
  over: AbortSignal,
): Promise<void> {
  const requestId = new Uint8Array(randomBytes(32));
  const wanted: Wanted = {
    party,
    function: name,
    requestId: Buffer.from(requestId).toString('hex'),
    input: '',
    persistent: true,
  };
  history.wanted.push(wanted);
  let pause: number = PAUSE_MS.first;
  // Once more after the answer: it must be the same.
  for (let answered = 0; answered < 2 && !over.aborted;) {
    const copy = random.between(1, COPIES);
    if (sessions.isAway(party, copy) && !random.chance(KNOCK)) {
      await sleep(AWAY_MS, undefined, { signal: over }).catch(() => {});
      continue;
    }
    const { startedAt, outcome } = await sessions.call(party, copy, name, requestId, PATIENCE_MS[weather.now]);
    if (over.aborted) return;
    history.attempts.push({ wanted, startedAt, endedAt: performance.now(), outcome, enclave: `copy ${copy}` });
    if ('refused' in outcome && FINAL.has(outcome.refused)) return;
    if ('answer' in outcome) answered += 1;
    pause = 'answer' in outcome ? PAUSE_MS.first : Math.min(PAUSE_MS.most, 2 * pause);
    await sleep(pause * (0.5 + random.next()), undefined, { signal: over }).catch(() => {});
  }
}
