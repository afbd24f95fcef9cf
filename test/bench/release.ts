/**
 * Answers that wait for their time: 200 sessions of two parties, a call in flight in each. Nobody computes: what is measured
 * is how late answers leave, and what it costs to wait. A party has one call in flight; its others are refused, at their time.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPlace } from '../timing/place.ts';
import type { TimedSession } from '../timing/place.ts';
import { processesBelow } from '../timing/quiet.ts';
import type { Keep } from './boot.ts';
import { median, rounded } from './figure.ts';
import type { Emit } from './figure.ts';
import { random } from './parties.ts';
import { KEY_ARNS } from './samples.ts';

const SESSIONS = 200;
const ROUNDS = 10;
const AFTER_MS = 4_000;
/** Calls are spread over so long: this process, which opens the answers too, must not keep itself waiting. */
const SPREAD_MS = 2_000;
const LATE_MS = 5;
const IDLE_PERCENT = 5;
const BUCKET = 1_024;
/** The kernel's clock ticks, in milliseconds. */
const TICK_MS = 10;

const policyOf = (trust: object): string =>
  JSON.stringify({
    apiVersion: 'accord/v1',
    collaboration: 'bench-release',
    until: '2099-12-31',
    parties: {
      alice: { role: 'data-owner', kmsKeyArn: KEY_ARNS.alice },
      bob: { role: 'data-owner', kmsKeyArn: KEY_ARNS.bob },
    },
    functions: {
      count: {
        uses: 'counter',
        calls: { alice: 10_000, bob: 10_000 },
        input: { maxBytes: BUCKET, buckets: [BUCKET] },
        release: { afterMs: AFTER_MS, padTo: 1_024 },
      },
    },
    anchors: 'none',
    enclave: { memoryMiB: 512, cpus: 1 },
    trust,
  });

export async function benchRelease(emit: Emit, keep: Keep): Promise<void> {
  const place = await openPlace({ policy: policyOf, mention: (line) => process.stderr.write(`release: ${line}\n`) });
  keep(place);
  try {
    const sessions: TimedSession[] = [];
    for (let index = 0; index < SESSIONS; index++) sessions.push(await place.open(index % 2 === 0 ? 'alice' : 'bob'));
    const late: number[] = [];
    const shares: number[] = [];
    let lost = 0;
    await callAll(sessions, 0); // everything is new to everybody
    for (let round = 0; round < ROUNDS; round++) {
      const gate = await gateOf();
      const calls = callAll(sessions, SPREAD_MS);
      await sleep(SPREAD_MS + 200);
      const before = ticks(gate);
      const waited = AFTER_MS - SPREAD_MS - 500;
      await sleep(waited);
      shares.push((100 * (ticks(gate) - before) * TICK_MS) / waited);
      for (const lateness of await calls) {
        if (lateness === undefined) lost += 1;
        else late.push(lateness);
      }
    }
    emitAll(emit, late, lost, shares);
  } finally {
    await place.close();
  }
}

/** How late each answer was, in milliseconds; undefined where there was none. */
function callAll(sessions: readonly TimedSession[], spreadMs: number): Promise<readonly (number | undefined)[]> {
  const terms = { input: { buckets: [BUCKET] }, release: { afterMs: AFTER_MS } };
  return Promise.all(
    sessions.map(async (session, index) => {
      await sleep((spreadMs * index) / sessions.length);
      try {
        await session.call('count', random(32), new Uint8Array(1), terms);
        return session.crossed().milliseconds - AFTER_MS;
      } catch {
        return undefined;
      }
    }),
  );
}

function emitAll(emit: Emit, late: readonly number[], lost: number, shares: readonly number[]): void {
  const sorted = [...late].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
  const calls = ROUNDS * SESSIONS;
  emit({
    figure: `release: ${SESSIONS} sessions with a call in flight each, calls without an answer`,
    value: lost,
    unit: `of ${calls}`,
    target: '0',
    met: lost === 0,
  });
  emit({
    figure: 'release: lateness of an answer, p99',
    value: rounded(at(0.99)),
    unit: 'ms',
    target: `<= ${LATE_MS} ms`,
    met: at(0.99) <= LATE_MS,
    note: `p50 ${rounded(at(0.5))}, earliest ${rounded(sorted[0] ?? Number.NaN)}, latest ${rounded(at(1))} ms; from the request's last byte to the answer's first, as the parent sees it, less ${AFTER_MS} ms; ${SESSIONS} calls over ${SPREAD_MS} ms, ${ROUNDS} rounds`,
  });
  emit({
    figure: 'release: processor of the gate while all of them wait',
    value: rounded(median(shares)),
    unit: '% of one',
    target: `<= ${IDLE_PERCENT} %`,
    met: median(shares) <= IDLE_PERCENT,
    note: `median of ${ROUNDS} rounds, most ${rounded(Math.max(...shares))} %`,
  });
}

async function gateOf(): Promise<number> {
  const pids = await processesBelow(process.pid);
  const gate = pids.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('gate.mjs'));
  if (gate === undefined) throw new Error('no gate runs');
  return gate;
}

/** Processor time of a process, in the kernel's ticks. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}
