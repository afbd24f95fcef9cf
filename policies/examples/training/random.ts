/** Numbers that look random and are the same for the same seed, on every machine (xoshiro128**, integer arithmetic). */
export interface Random {
  /** From 0 (included) to 1 (excluded). */
  readonly unit: () => number;
  readonly between: (low: number, high: number) => number;
  /** A whole number from `low` to `high`, both included. */
  readonly whole: (low: number, high: number) => number;
  /** Mean 0, standard deviation 1. */
  readonly normal: () => number;
  readonly pick: <T>(items: readonly [T, ...T[]]) => T;
  readonly shuffle: (items: Int32Array) => void;
}

export function seeded(seed: number): Random {
  const state = new Uint32Array(4);
  // SplitMix32 spreads the seed over the state, so that neighbouring seeds have nothing in common.
  let mixed = seed >>> 0;
  for (let i = 0; i < 4; i++) {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    state[i] = (z ^ (z >>> 16)) >>> 0;
  }
  const next = (): number => {
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state;
    const scrambled = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    const t = s1 << 9;
    const n2 = s2 ^ s0;
    const n3 = s3 ^ s1;
    state[1] = s1 ^ n2;
    state[0] = s0 ^ n3;
    state[2] = n2 ^ t;
    state[3] = rotate(n3, 11);
    return scrambled;
  };
  const unit = (): number => next() / 4294967296;
  const whole = (low: number, high: number): number => low + Math.floor(unit() * (high - low + 1));
  return {
    unit,
    between: (low, high) => low + unit() * (high - low),
    whole,
    normal: () => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit()),
    pick: (items) => items[whole(0, items.length - 1)] ?? items[0],
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = whole(0, i);
        const kept = items[i] ?? 0;
        items[i] = items[j] ?? 0;
        items[j] = kept;
      }
    },
  };
}

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));
