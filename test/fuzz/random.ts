/** Random numbers that come again from the same seed (mulberry32): fast, and good enough to choose by. */
export interface Random {
  /** 0 to `below` - 1. */
  int(below: number): number;
  /** True `share` of the time, 0 to 1. */
  chance(share: number): boolean;
  pick<T>(list: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const int = (below: number): number => Math.floor((next() / 2 ** 32) * below);
  return {
    int,
    chance: (share) => next() < share * 2 ** 32,
    pick(list) {
      const found = list[int(list.length)];
      if (found === undefined) throw new RangeError('nothing to choose from');
      return found;
    },
  };
}
