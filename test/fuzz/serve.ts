/** A process that fuzzes one target: told what to do in its arguments, it says what it did over its channel. */
import { openSync, writevSync } from 'node:fs';
import { corpusOf } from './corpus.ts';
import { explore } from './explore.ts';
import type { Outcomes } from './explore.ts';
import { DEFAULTS, judge } from './judge.ts';
import type { FindingKind, Verdict } from './judge.ts';
import type { Target } from './target.ts';

export interface Assignment {
  readonly target: string;
  readonly seed: number;
  /** Ends after so many. */
  readonly runs?: number;
  /** Ends after so long. */
  readonly seconds?: number;
  /** Where the input under way stands: `struct { float64 number; uint32 length; opaque input[length]; }`. */
  readonly current: string;
  /** Base64: judge this input alone. */
  readonly replay?: string;
}

export type Report =
  | { readonly t: 'begun' }
  | {
      readonly t: 'progress';
      readonly executions: number;
      readonly seconds: number;
      readonly outcomes: [string, number][];
    }
  | { readonly t: 'found'; readonly kind: FindingKind; readonly what: string; readonly input: string }
  | { readonly t: 'replayed'; readonly verdict: Verdict }
  | { readonly t: 'done'; readonly codes: readonly string[] };

export const HEAD_BYTES = 12;
const PROGRESS_MS = 500;

/** Never returns before the work is done or its parent is gone. */
export async function serve(assignment: Assignment, open: (name: string) => Promise<Target>): Promise<void> {
  const say = (report: Report): Promise<void> =>
    new Promise((resolve) => void (process.send?.(report, () => resolve()) ?? resolve()));
  let stopped = false;
  process.on('message', () => (stopped = true));
  process.on('disconnect', () => process.exit(1));
  process.on('SIGINT', () => {}); // the parent decides

  const target = await open(assignment.target);
  const before = recorder(assignment.current);
  await say({ t: 'begun' });
  if (assignment.replay !== undefined) {
    const input = new Uint8Array(Buffer.from(assignment.replay, 'base64'));
    before(input);
    let verdict: Verdict | undefined;
    const exploration = { seed: 0, corpus: [input], before: () => {}, proceed: (executions: number) => executions < 1 };
    await explore({ ...target, seeds: [] }, { ...exploration, found: (one) => (verdict = { is: 'finding', ...one }) });
    await say({ t: 'replayed', verdict: verdict ?? (await judge(target, input)) });
  } else {
    const started = performance.now();
    const outcomes: Outcomes = new Map();
    const { runs = Infinity, seconds = Infinity, seed } = assignment;
    let told = started;
    let done = 0;
    const progress = (now: number): Promise<void> =>
      say({ t: 'progress', executions: done, seconds: (now - started) / 1_000, outcomes: [...outcomes] });
    await explore(
      target,
      {
        seed,
        corpus: corpusOf(assignment.target, target.maxBytes ?? DEFAULTS.maxBytes),
        before,
        proceed(executions) {
          done = executions;
          const now = performance.now();
          if (now - told > PROGRESS_MS) {
            told = now;
            void progress(now);
          }
          return !stopped && executions < runs && now - started < seconds * 1_000;
        },
        found: ({ kind, what, input }) =>
          void say({ t: 'found', kind, what, input: Buffer.from(input).toString('base64') }),
      },
      outcomes,
    );
    await progress(performance.now());
  }
  await say({ t: 'done', codes: [...target.codes] });
  await target.close?.();
}

/** Writes each input where it outlives this process. */
function recorder(path: string): (input: Uint8Array) => void {
  const file = openSync(path, 'w+');
  const head = new Uint8Array(HEAD_BYTES);
  const view = new DataView(head.buffer);
  let number = 0;
  return (input) => {
    view.setFloat64(0, (number += 1));
    view.setUint32(8, input.length);
    writevSync(file, [head, input], 0);
  };
}
