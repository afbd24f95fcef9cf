/** Runs one input and says whether what came of it may come of an input. */
import { getHeapStatistics } from 'node:v8';
import { Failure } from '../../policies/failure.ts';
import type { Target } from './target.ts';

export const DEFAULTS = {
  maxBytes: 8_192,
  limitMs: 1_000,
  limitBytes: (inputBytes: number): number => 4 * 1024 * 1024 + 128 * inputBytes,
} as const;

export type Verdict =
  | { readonly is: 'taken'; readonly what: string }
  | { readonly is: 'refused'; readonly code: string; readonly message: string }
  | { readonly is: 'finding'; readonly kind: FindingKind; readonly what: string };

export type FindingKind = 'uncoded' | 'slow' | 'memory' | 'hang' | 'crash';

/** How often a measured excess must be seen before it counts: the machine has other things to do. */
const AGAIN = 5;

/** Bytes that JavaScript holds, of its heap and of array buffers. */
function held(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

interface Trial {
  readonly verdict: Verdict;
  readonly ms: number;
  readonly bytes: number;
}

async function attempt(target: Target, input: Uint8Array): Promise<Trial> {
  const before = held();
  const start = performance.now();
  let verdict: Verdict;
  try {
    const outcome = target.run(input);
    verdict = { is: 'taken', what: typeof outcome === 'string' ? outcome : await outcome };
  } catch (error) {
    verdict = refusalOf(target, error);
  }
  return { verdict, ms: performance.now() - start, bytes: held() - before };
}

function refusalOf({ codes }: Target, error: unknown): Verdict {
  if (error instanceof Failure && codes.has(error.code)) {
    return { is: 'refused', code: error.code, message: error.message };
  }
  const what = error instanceof Failure ? `the code ${error.code} is not declared: ${stackOf(error)}` : stackOf(error);
  return { is: 'finding', kind: 'uncoded', what };
}

const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/** Time and memory count only where they are too much again and again, with garbage collected before. */
export async function judge(target: Target, input: Uint8Array): Promise<Verdict> {
  const { limitMs = DEFAULTS.limitMs, limitBytes = DEFAULTS.limitBytes } = target;
  const { verdict, ...first } = await attempt(target, input);
  if (verdict.is === 'finding') return verdict;
  const most = limitBytes(input.length);
  const times = [first.ms];
  const sizes = [first.bytes];
  if (first.ms > limitMs || first.bytes > most) {
    while (times.length < AGAIN) {
      // Array buffers are given back in the background; a second collection waits for that.
      globalThis.gc?.();
      globalThis.gc?.();
      const again = await attempt(target, input);
      times.push(again.ms);
      sizes.push(again.bytes);
    }
  }
  // Time can only be measured too long; memory also too small, where garbage was collected meanwhile.
  const ms = Math.min(...times);
  const bytes = sizes.sort((a, b) => a - b)[sizes.length >> 1] ?? 0;
  if (ms > limitMs) return { is: 'finding', kind: 'slow', what: `${ms.toFixed(0)} ms for ${input.length} bytes` };
  if (bytes > most) return { is: 'finding', kind: 'memory', what: `${bytes} bytes held for ${input.length} bytes` };
  return verdict;
}

/** Verdicts that differ only in numbers and quoted names are one: what is left is the place in the parser. */
export function placeOf(verdict: Verdict): string {
  switch (verdict.is) {
    case 'taken':
      return `taken ${verdict.what}`;
    case 'refused':
      return `${verdict.code} ${verdict.message
        .slice(0, 300)
        .replaceAll(/\d+|"[^"]*"|'[^']*'/g, '#')
        .slice(0, 100)}`;
    case 'finding':
      return `${verdict.kind} ${verdict.what.replaceAll(/\d+/g, '#').slice(0, 160)}`;
  }
}
