/** Figures of the benchmark: what was measured, against which reference, and whether the target was met. */
export interface Figure {
  readonly figure: string;
  /** Median of the measured side. */
  readonly value: number;
  readonly unit: string;
  /** Median of the reference, measured in the same run, interleaved; absent where the target is absolute. */
  readonly reference?: number;
  /** Median of the ratios round by round. */
  readonly ratio?: number;
  readonly target: string;
  readonly met: boolean;
  /** What the reference is, and what the reader should know. */
  readonly note?: string;
}

/** Something that could not be measured here, and why. */
export interface Skipped {
  readonly figure: string;
  readonly skipped: string;
}

export type Emit = (line: Figure | Skipped) => void;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
};

export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** Milliseconds that `work` took. */
export async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export interface Rounds {
  readonly rounds: number;
  /** Uncounted rounds before. Default 2. */
  readonly warmUp?: number;
  /** After each piece of work, outside of its time. */
  readonly between?: () => Promise<void>;
}

/** Milliseconds; `ratio` and `difference` are medians of what was found round by round. */
export interface Compared {
  readonly value: number;
  readonly reference: number;
  readonly ratio: number;
  readonly difference: number;
  /** The quickest round of each: on a busy machine, the closest to what the work itself takes. */
  readonly quickest: { readonly value: number; readonly reference: number };
}

/** Runs two pieces of work in turn, A B B A A B …, so that both see the same machine. */
export async function interleaved(
  { rounds, warmUp = 2, between }: Rounds,
  work: () => unknown,
  reference: () => unknown,
): Promise<Compared> {
  const a: number[] = [];
  const b: number[] = [];
  for (let round = -warmUp; round < rounds; round++) {
    // The order alternates too, so that neither side always pays for the other's garbage.
    const first = round % 2 === 0;
    const one = await timed(first ? work : reference);
    await between?.();
    const two = await timed(first ? reference : work);
    await between?.();
    if (round < 0) continue;
    a.push(first ? one : two);
    b.push(first ? two : one);
  }
  return {
    value: median(a),
    reference: median(b),
    ratio: median(a.map((value, index) => value / (b[index] ?? Number.NaN))),
    difference: median(a.map((value, index) => value - (b[index] ?? Number.NaN))),
    quickest: { value: Math.min(...a), reference: Math.min(...b) },
  };
}
