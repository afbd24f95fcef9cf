/** One figure of the benchmark: what was measured, against which reference, and whether the target was met. */
export interface Figure {
  readonly figure: string;
  /** Median of the measured side. */
  readonly value: number;
  readonly unit: string;
  /** Median of the reference, measured in the same run, interleaved; absent where the target is absolute. */
  readonly reference?: number;
  readonly ratio?: number;
  readonly target: string;
  readonly met: boolean;
  /** What the reference is, and what the reader should know. */
  readonly note?: string;
}

export type Emit = (figure: Figure) => void;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
};

/** Milliseconds that `work` took. */
export async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * Runs two pieces of work in turn, A B A B …, after `warmUp` uncounted rounds, so that both see the same machine.
 * Returns the medians in milliseconds and the median of the ratios round by round.
 */
export async function interleaved(
  rounds: number,
  work: () => unknown,
  reference: () => unknown,
  warmUp = 2,
): Promise<{ readonly value: number; readonly reference: number; readonly ratio: number; readonly difference: number }> {
  const a: number[] = [];
  const b: number[] = [];
  for (let round = -warmUp; round < rounds; round++) {
    // The order alternates too, so that neither side always pays for the other's garbage.
    const first = round % 2 === 0;
    const one = await timed(first ? work : reference);
    const two = await timed(first ? reference : work);
    if (round < 0) continue;
    a.push(first ? one : two);
    b.push(first ? two : one);
  }
  return {
    value: median(a),
    reference: median(b),
    ratio: median(a.map((value, index) => value / (b[index] ?? Number.NaN))),
    difference: median(a.map((value, index) => value - (b[index] ?? Number.NaN))),
  };
}
