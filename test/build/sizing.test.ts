import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sizeImage } from '../../build/sizing.ts';
import type { Sizing, SizingFacts } from '../../build/sizing.ts';
import type { FunctionPolicy, Policy } from '../../policies/model.ts';

const MiB = 1024 * 1024;
const DETECT: FunctionPolicy = {
  uses: 'object-detection',
  model: { from: 'bob' },
  calls: { alice: 3, bob: 2 },
  input: { maxBytes: 4 * MiB, buckets: [4 * MiB] },
  output: { topK: 10, decimals: 2 },
  release: { afterMs: 0, padTo: 1024 },
};

const policyOf = (
  functions: Readonly<Record<string, FunctionPolicy>>,
  enclave: Policy['enclave'] = { memoryMiB: 256, cpus: 2 },
): Pick<Policy, 'enclave' | 'functions'> => ({ functions, enclave });

const size = (facts?: SizingFacts, policy = policyOf({ detect: DETECT })): Sizing =>
  sizeImage(policy, 168 * MiB, 165 * MiB, facts);
const sum = ({ terms }: Sizing): number => terms.reduce((total, term) => total + term.MiB, 0);
const termOf = ({ terms }: Sizing, what: string): number => terms.find((term) => term.what.includes(what))?.MiB ?? NaN;

describe('memory', () => {
  test('is the sum of what is printed', () => {
    const sizing = size();
    expect(sizing.memoryMiB).toBe(sum(sizing));
    expect(termOf(sizing, 'unpacked ramdisks')).toBe(165);
    expect(sizing.notes).toContainEqual(expect.stringContaining(`the parts need ${sum(sizing)} MiB`));
  });

  test('of one function of the size that the examples have is within 1 GiB', () => {
    expect(size().memoryMiB).toBeLessThanOrEqual(1024);
  });

  test('is never less than the policy asks for', () => {
    const sizing = size({}, policyOf({ detect: DETECT }, { memoryMiB: 4096, cpus: 2 }));
    expect(sizing.memoryMiB).toBe(4096);
    expect(sizing.notes.join()).not.toContain('raise');
  });

  test('grows with each function, with its model and with its inputs', () => {
    const one = sum(size());
    expect(sum(size({}, policyOf({ detect: DETECT, again: DETECT })))).toBeGreaterThan(one + 500);
    // Once in the gate, and twice in each of two processes of two parties.
    expect(sum(size({ modelBytes: { detect: 108 * MiB } })) - one).toBe((1 + 2 * 2 * 2) * 100);
    const large = { ...DETECT, input: { maxBytes: 64 * MiB, buckets: [64 * MiB] } };
    expect(sum(size({}, policyOf({ detect: large }))) - one).toBe(2 * 2 * 60);
  });

  test('grows with each party that may call, and with no other', () => {
    const calledBy = (calls: Readonly<Record<string, number>>): Sizing =>
      size({}, policyOf({ detect: { ...DETECT, calls } }));
    const one = sum(calledBy({ alice: 1 }));
    const lane = 264 + 2 * 2 * 8 + 2 * 4;
    expect(sum(calledBy({ alice: 1, bob: 1 })) - one).toBe(lane);
    expect(sum(calledBy({ alice: 9, bob: 1, carol: 1 })) - one).toBe(2 * lane);
    expect(sum(calledBy({ alice: 1, bob: 0 }))).toBe(one);
    expect(termOf(calledBy({ alice: 1, bob: 1 }), 'of each party that may call (2)')).toBe(2 * 264);
    // The model is tried in its owner's lane.
    expect(sum(calledBy({}))).toBe(one - 2 * 4);
  });

  test('of a tree is what Node takes', () => {
    const tree: FunctionPolicy = {
      uses: 'decision-tree',
      model: { from: 'bob' },
      calls: { alice: 3 },
      input: { maxBytes: 4096, buckets: [4096] },
      tree: { depth: 8, nodes: 255, features: 16 },
      output: {},
      release: { afterMs: 0, padTo: 1024 },
    };
    const sizing = size({}, policyOf({ tree }));
    expect(termOf(sizing, 'tree: two reading and two computing')).toBe(72);
    expect(termOf(sizing, 'tree: a model of at most 1 MiB')).toBe(5);
  });

  test('a model that is known is named with its size, another one with what was assumed', () => {
    expect(size().terms.map(({ what }) => what)).toContainEqual(expect.stringContaining('a model of at most 8 MiB'));
    const known = size({ modelBytes: { detect: 3 * MiB, toString: 1 } });
    expect(known.terms.map(({ what }) => what)).toContainEqual(expect.stringContaining('its model of 3 MiB'));
    const odd = size({}, policyOf({ constructor: DETECT }));
    expect(odd.terms.map(({ what }) => what)).toContainEqual(
      expect.stringContaining('constructor: a model of at most'),
    );
  });

  test('of an image that is nothing but large is what its boot takes: ramdisks twice', () => {
    const sizing = sizeImage(policyOf({}), 2000 * MiB, 2000 * MiB);
    expect(sizing.memoryMiB).toBe(2000 + 2000 + 64);
    expect(sizing.notes).toContainEqual(expect.stringContaining('in memory twice: 4064 MiB'));
    const packed = sizeImage(policyOf({}), 600 * MiB, 2000 * MiB, { ramdiskBytes: 600 * MiB });
    expect(packed.memoryMiB).toBe(600 + 2000 + 64);
  });

  test('what nitro-cli demands is told apart, and does not change what the image needs', () => {
    const large = sizeImage(policyOf({ detect: DETECT }), 400 * MiB, 300 * MiB);
    expect(large.nitroCliMiB).toBe(1600);
    expect(large.memoryMiB).toBe(sum(large));
    expect(large.notes).toContainEqual(expect.stringContaining('on EC2 allocate 1600 MiB'));
    expect(size().notes.join()).not.toContain('nitro-cli');
  });

  test('is whole, and never less than what is unpacked', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32), fc.nat(2 ** 32), (eif, unpacked) => {
        const { memoryMiB, terms } = sizeImage(policyOf({ detect: DETECT }), eif, unpacked);
        expect(Number.isInteger(memoryMiB)).toBe(true);
        expect(memoryMiB * MiB).toBeGreaterThan(unpacked);
        expect(terms.every(({ MiB: part }) => Number.isInteger(part) && part > -1)).toBe(true);
      }),
    );
  });
});

test('cores are whole: two threads each', () => {
  const cpus = [1, 2, 3, 4, 16].map((asked) => size({}, policyOf({}, { memoryMiB: 64, cpus: asked })).cpus);
  expect(cpus).toEqual([2, 2, 4, 4, 16]);
  expect(size({}, policyOf({}, { memoryMiB: 64, cpus: 3 })).notes).toContainEqual(
    expect.stringContaining('rounded up to 4'),
  );
});
