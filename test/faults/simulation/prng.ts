/** Seeded randomness: the same seed gives the same run, on every machine. sfc32 (PractRand), seeded by splitmix32. */

export interface Prng {
  /** 0 ≤ x < 1. */
  next(): number;
  /** A whole number, 0 ≤ n < below. */
  below(below: number): number;
  /** A whole number, low ≤ n ≤ high. */
  between(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** In a random order. */
  shuffled<T>(from: readonly T[]): T[];
  bytes(count: number): Uint8Array<ArrayBuffer>;
  /** A generator of its own, for an actor whose choices shall not shift those of others. */
  fork(name: string): Prng;
}

export function createPrng(seed: number, name = ''): Prng {
  let mix = seed >>> 0;
  for (let i = 0; i < name.length; i += 1) mix = Math.imul(mix ^ name.charCodeAt(i), 0x01000193) >>> 0;
  const split = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix ^ (mix >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  // Beyond 32 bits a seed still counts.
  mix ^= Math.floor(seed / 2 ** 32);
  let [a, b, c, counter] = [split(), split(), split(), 1];
  const word = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i += 1) word();

  const prng: Prng = {
    next: () => word() / 2 ** 32,
    below: (below) => Math.floor(prng.next() * below),
    between: (low, high) => low + prng.below(high - low + 1),
    chance: (probability) => prng.next() < probability,
    pick(from) {
      const picked = from[prng.below(from.length)];
      if (picked === undefined) throw new RangeError('nothing to pick from');
      return picked;
    },
    shuffled(from) {
      const left = [...from];
      return from.map(() => left.splice(prng.below(left.length), 1)[0]).filter((one) => one !== undefined);
    },
    bytes(count) {
      const bytes = new Uint8Array(count);
      for (let i = 0, four = 0; i < count; i += 1, four >>>= 8) {
        if (i % 4 === 0) four = word();
        bytes[i] = four & 0xff;
      }
      return bytes;
    },
    fork: (of) => createPrng(word(), of),
  };
  return prng;
}
