/**
 * The search: takes an input, changes it, judges it, and keeps it as a start for others where it came to a place in the
 * parser that none had come to before. Coded refusals name that place, so no instrumented build is needed.
 */
import * as fc from 'fast-check';
import { DEFAULTS, judge, placeOf } from './judge.ts';
import type { FindingKind, Verdict } from './judge.ts';
import { mutate } from './mutate.ts';
import type { Material } from './mutate.ts';
import { createRandom } from './random.ts';
import type { Random } from './random.ts';
import type { Target } from './target.ts';

export interface Finding {
  readonly kind: FindingKind;
  readonly what: string;
  readonly input: Uint8Array;
}

export interface Exploration {
  readonly seed: number;
  /** Inputs to start from beside the target's own. */
  readonly corpus: readonly Uint8Array[];
  /** Asked before each input, and now and then with the event loop free: for signals and messages. */
  proceed(executions: number): boolean;
  /** Sees each input before the parser does, so that whoever watches has it where the parser never comes back. */
  before(input: Uint8Array): void;
  found(finding: Finding): void;
}

/** How often each came out: `taken WHAT`, or a code. */
export type Outcomes = Map<string, number>;

const BATCH = 64;
const MOST_KEPT = 2_048;
const BREATHE_MS = 50;

export async function explore(target: Target, exploration: Exploration, outcomes: Outcomes = new Map()): Promise<void> {
  const random = createRandom(exploration.seed);
  const maxBytes = target.maxBytes ?? DEFAULTS.maxBytes;
  const starts = [...target.seeds, ...exploration.corpus];
  const kept = starts.length === 0 ? [new Uint8Array()] : [...starts];
  const places = new Set<string>();
  const material: Material = { others: kept, words: target.words ?? [], maxBytes };
  const built = batches(target, exploration.seed);
  let breathed = performance.now();
  let unhandled: unknown;
  /** What was judged since rejections were last told. */
  let judged: Uint8Array[] = [];
  const onUnhandled = (reason: unknown): void => void (unhandled = reason ?? new Error('a rejection without a reason'));
  process.on('unhandledRejection', onUnhandled);
  process.on('uncaughtException', onUnhandled);

  const keep = (input: Uint8Array): void => {
    if (input.length > maxBytes) return;
    if (kept.length < MOST_KEPT) kept.push(input);
    else if (starts.length < MOST_KEPT) kept[starts.length + random.int(MOST_KEPT - starts.length)] = input;
  };
  const note = (verdict: Verdict, input: Uint8Array): void => {
    const name = verdict.is === 'refused' ? verdict.code : verdict.is === 'taken' ? `taken ${verdict.what}` : 'finding';
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
    const place = placeOf(verdict);
    if (places.has(place)) return;
    places.add(place);
    if (verdict.is === 'finding') exploration.found({ kind: verdict.kind, what: verdict.what, input });
    else keep(input);
  };

  /** Lets the event loop run, which is when rejections that nobody waited for are told. */
  const breathe = async (): Promise<void> => {
    await turn();
    const suspects = judged;
    judged = [];
    if (unhandled !== undefined) {
      const what = `nobody waited for it: ${describe(unhandled)}`;
      note({ is: 'finding', kind: 'uncoded', what }, await culprit(suspects));
    }
    unhandled = undefined;
    breathed = performance.now();
  };
  /** The first of them after which it happens again; the last where it does not. */
  const culprit = async (suspects: readonly Uint8Array[]): Promise<Uint8Array> => {
    for (const input of suspects) {
      unhandled = undefined;
      exploration.before(input);
      await judge(target, input);
      await turn();
      if (unhandled !== undefined) return input;
    }
    return suspects.at(-1) ?? new Uint8Array();
  };

  try {
    for (let executions = 0; exploration.proceed(executions); executions += 1) {
      const first = starts[executions];
      const input = first ?? (await nextInput(target, { random, kept, built, material }));
      exploration.before(input);
      note(await judge(target, input), input);
      judged.push(input);
      if (performance.now() - breathed > BREATHE_MS) await breathe();
    }
    await breathe();
  } finally {
    process.removeListener('unhandledRejection', onUnhandled);
    process.removeListener('uncaughtException', onUnhandled);
  }
}

/** Of the event loop. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const describe = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

interface Sources {
  readonly random: Random;
  readonly kept: readonly Uint8Array[];
  readonly built: (() => Uint8Array) | undefined;
  readonly material: Material;
}

async function nextInput(target: Target, { random, kept, built, material }: Sources): Promise<Uint8Array> {
  let input = random.pick(kept);
  if (built !== undefined && random.chance(0.25)) {
    input = built();
    if (random.chance(0.3)) input = mutate(input, random, material);
  } else if (target.vary !== undefined && random.chance(0.6)) {
    for (let left = random.pick([1, 1, 2, 4]); left > 0; left -= 1) input = await target.vary(input, random);
  } else {
    input = mutate(input, random, material);
  }
  if (target.repair !== undefined && random.chance(0.75)) input = await target.repair(input, random);
  return input.slice(0, material.maxBytes);
}

/** One by one what fast-check makes by the dozen. */
function batches({ built }: Target, seed: number): (() => Uint8Array) | undefined {
  if (built === undefined) return undefined;
  let batch: Uint8Array[] = [];
  let turn = 0;
  return () => {
    if (batch.length === 0) batch = fc.sample(built, { numRuns: BATCH, seed: (seed + turn++) | 0 });
    return batch.pop() ?? new Uint8Array();
  };
}
