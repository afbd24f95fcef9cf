/** What is fuzzed: one parser with the bytes it takes, and all that it may answer. */
import type { Arbitrary } from 'fast-check';
import type { Random } from './random.ts';

export type Variation = (input: Uint8Array, random: Random) => Uint8Array | Promise<Uint8Array>;

export interface Target {
  /** Every code that a refusal may have: the parser's declared union. */
  readonly codes: ReadonlySet<string>;
  /** Inputs that are taken, made anew each time (with keys of their own, where there are keys). */
  readonly seeds: readonly Uint8Array[];
  /** Codes with which some of them are refused all the same: what services say, and what is only like an input of ours. */
  readonly refusedSeeds?: readonly string[];
  /** Inputs put together from parts, some of them wrong. */
  readonly built?: Arbitrary<Uint8Array>;
  /** Like an input, but with another part: whole around the change (lengths, nesting). */
  readonly vary?: Variation;
  /** Puts right what a change breaks and a forger would mend: lengths, checksums, signatures. */
  readonly repair?: Variation;
  /** Pieces of text that mean something here. */
  readonly words?: readonly string[];
  /** Longest input that is made. Default 8 KiB. */
  readonly maxBytes?: number;
  /** Longest time for one input, in milliseconds. Default 1 s. */
  readonly limitMs?: number;
  /** Most memory that one input may take, in bytes. Default 4 MiB and 128 times the input. */
  readonly limitBytes?: (inputBytes: number) => number;
  /**
   * The property. What became of an input that was taken; throws a `Failure` for one that was refused. Whatever else it
   * throws is a finding, `Broken` among it.
   */
  run(input: Uint8Array): string | Promise<string>;
  close?(): Promise<void>;
}

/** Something that holds of every input does not hold of this one. */
export class Broken extends Error {}

export function demand(holds: boolean, what: string): void {
  if (!holds) throw new Broken(what);
}

export function demandSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  demand(Buffer.compare(actual, expected) === 0, what);
}

/** All codes of a union, as the compiler checks: none missing, none that does not exist. */
export const codesOf = <Code extends string>(table: Readonly<Record<Code, true>>): ReadonlySet<string> =>
  new Set(Object.keys(table));

export const allCodes = (...sets: readonly ReadonlySet<string>[]): ReadonlySet<string> =>
  new Set(sets.flatMap((set) => [...set]));
