/** One run of the real programs: two parties want more than their quota of a counter while things are killed. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Person } from '../../flow/collaboration.ts';
import { startSession } from '../../../parties/cli/party.ts';
import type { Session } from '../../../parties/session/session.ts';
import type { Violation } from '../check.ts';
import { check } from '../check.ts';
import type { History, Outcome, Wanted } from '../history.ts';
import { createHistory } from '../history.ts';
import { createPrng } from '../simulation/prng.ts';
import type { Prng } from '../simulation/prng.ts';
import type { RealPlace } from './place.ts';
import { COPIES, OWNERS, QUOTAS, counterOf } from './place.ts';

const STORM_MS = 2_500;
const CALM_MS = 90_000;
const SILENT = { update: () => {}, end: () => {} };

export interface RealResult {
  readonly violations: readonly Violation[];
  readonly answers: number;
  readonly attempts: number;
  readonly blows: readonly string[];
  readonly ms: number;
}

/** `runs`: counters that are used under one storm. */
export async function realRun(real: RealPlace, runs: readonly number[], seed: number): Promise<RealResult> {
  const start = performance.now();
  const random = createPrng(seed, 'real');
  const history = createHistory();
  const over = new AbortController();
  await real.launch();
  const attending = OWNERS.flatMap((party) =>
    Array.from({ length: COPIES }, (_, copy) => attend(real, party, copy + 1, over.signal)),
  );
  const asking = runs.flatMap((run) =>
    OWNERS.flatMap(
      (party) =>
      Array.from({ length: QUOTAS[party] + 1 }, () => pursue(real, history, party, counterOf(run), random.fork(party), over.signal)), // prettier-ignore
    ),
  );
  const blows = await storm(real, random.fork('storm'));
  const keeping = keepUp(real, over.signal);
  await Promise.race([Promise.all(asking), sleep(CALM_MS, undefined, { signal: over.signal })]);
  over.abort();
  await Promise.allSettled([...attending, ...asking, keeping]);
  const functions = Object.fromEntries(
    runs.map((run) => [counterOf(run), { kind: 'counter', calls: QUOTAS } as const]),
  );
  const violations = check(history, {
    functions,
    quorum: OWNERS.length,
    entries: await real.entries(),
    demandAnswers: true,
    demandWholeQuota: true,
    demandHonestRefusals: true,
    leaseMs: Infinity,
  });
  const answers = history.attempts.filter(({ outcome }) => 'answer' in outcome).length;
  return { violations, answers, attempts: history.attempts.length, blows, ms: Math.round(performance.now() - start) };
}

/** The orchestrator may not have noticed yet that an enclave is gone when it is asked to start what is missing. */
async function keepUp(real: RealPlace, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await real.launch().catch(() => {});
    await sleep(1_000);
  }
}

/** Kills and cuts for a while; everything runs again when this resolves. */
async function storm(real: RealPlace, random: Prng): Promise<readonly string[]> {
  const { place } = real;
  const told: string[] = [];
  const kill = async (): Promise<void> => {
    const gates = await real.gates();
    if (gates.length > 0) signal(random.pick(gates), 'SIGKILL');
  };
  const restart = async (meanwhile: () => Promise<void>): Promise<void> => {
    place.orchestrator.child.kill('SIGKILL');
    await place.orchestrator.outcome;
    await meanwhile();
    await place.startOrchestrator();
    await real.launch();
  };
  const blows: readonly (readonly [string, number, () => Promise<void>])[] = [
    [
      'an enclave is killed',
      8,
      async () =>
        kill()
          .then(() => sleep(50 * random.next()))
          .then(() => real.launch()),
    ],
    [
      'an enclave stands still',
      3,
      async () => {
        const gates = await real.gates();
        if (gates.length === 0) return;
        const gate = random.pick(gates);
        signal(gate, 'SIGSTOP');
        await sleep(400 * random.next());
        signal(gate, 'SIGCONT');
      },
    ],
    [
      'an anchor goes and comes back',
      4,
      async () => {
        const owner = random.pick(OWNERS);
        await real.hide(owner);
        await sleep(600 * random.next());
        await real.show(owner);
      },
    ],
    ['an owner hides a ticket', 3, () => real.meddle(random.pick(OWNERS), random).catch(() => {})],
    ['the orchestrator is killed', 2, () => restart(() => real.keepRecords().catch(() => {}))],
    [
      "the host's records are rolled back",
      1,
      () =>
        restart(() => real.rollRecordsBack())
          .then(() => sleep(300))
          .then(() => restart(() => real.healRecords())),
    ],
  ];
  const bag = blows.flatMap((blow) => Array.from({ length: blow[1] }, () => blow));
  const end = performance.now() + STORM_MS;
  while (performance.now() < end) {
    await sleep(500 * random.next());
    const [name, , strike] = random.pick(bag);
    told.push(name);
    await strike();
  }
  await real.launch();
  return told;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended meanwhile
  }
}

async function open(real: RealPlace, party: Person, copy: number): Promise<Session> {
  const { context, io } = await real.context(party, copy);
  return startSession(context, io, SILENT);
}

/** A session with this copy as long as there is one, for what needs the party's key. */
async function attend(real: RealPlace, party: Person, copy: number, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    try {
      const session = await open(real, party, copy);
      while (!over.aborted) {
        await sleep(500);
        await session.status();
      }
      await session.close();
    } catch {
      await sleep(200);
    }
  }
}

const FINAL: ReadonlySet<string> = new Set(['quota-exceeded', 'request-reused', 'changed', 'not-permitted']);

async function pursue(
  real: RealPlace,
  history: History,
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
  // Once more after the answer: it must be the same.
  for (let answered = 0; answered < 2 && !over.aborted;) {
    const copy = random.between(1, COPIES);
    const startedAt = performance.now();
    const outcome = await ask(real, party, copy, name, requestId);
    history.attempts.push({ wanted, startedAt, endedAt: performance.now(), outcome, enclave: `copy ${copy}` });
    if ('answer' in outcome) answered += 1;
    if ('refused' in outcome && FINAL.has(outcome.refused)) return;
    await sleep(100 + 300 * random.next());
  }
}

async function ask(real: RealPlace, party: Person, copy: number, name: string, id: Uint8Array): Promise<Outcome> {
  try {
    const session = await open(real, party, copy);
    try {
      const reply = await session.call(name, id, new Uint8Array(0));
      if (reply.t === 'answer') return { answer: reply.output };
      return reply.detail === undefined ? { refused: reply.refused } : { refused: reply.refused, detail: reply.detail };
    } finally {
      await session.close();
    }
  } catch (error) {
    return { nothing: error instanceof Error ? error.message.slice(0, 200) : String(error) };
  }
}
