/** Post-processing by numbers one can reckon: each family of detectors reads its own layout. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classify } from '../../../enclave/functions/image-classification/compute.ts';
import { detect } from '../../../enclave/functions/object-detection/compute.ts';
import { overlap, suppress, type BoxCandidate } from '../../../enclave/functions/object-detection/suppress.ts';
import type { Box, OutputTensor } from '../../../enclave/functions/candidate.ts';
import type { DetectorOutput, PictureManifest, SsdOutput } from '../../../enclave/functions/model-manifest.ts';

const input: PictureManifest['input'] = {
  tensor: 'x',
  dtype: 'float32',
  layout: 'NCHW',
  width: 32,
  height: 16,
  colour: 'RGB',
  resize: { mode: 'stretch' },
};
const tensor = (
  dims: readonly number[],
  fill: (set: (index: number, ...values: number[]) => void) => void,
): OutputTensor => {
  const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
  fill((index, ...values) => data.set(values, index));
  return { data, dims };
};
const run = (
  output: DetectorOutput,
  tensors: Readonly<Record<string, OutputTensor>>,
  labels: readonly string[] = ['cat', 'dog'],
  topK = 10,
): readonly BoxCandidate[] => {
  const manifest: PictureManifest = { apiVersion: 'accord/v1', name: 'm', labels, input, output };
  const empty: OutputTensor = { data: new Float32Array(), dims: [0] };
  return detect((name) => tensors[name] ?? empty, manifest, output, topK);
};
const near = (box: Box): unknown => box.map((value) => expect.closeTo(value, 5));
const thresholds = { scoreThreshold: 0.5, iouThreshold: 0.5 } as const;
const plain = { objectness: 'none', classes: 'none' } as const;

describe('YOLOX-like', () => {
  const output: DetectorOutput = {
    kind: 'yolox',
    tensor: 'y',
    strides: [8, 16],
    boxes: 'grid-exp',
    activations: plain,
    ...thresholds,
  };
  // 4 x 2 cells of stride 8, then 2 x 1 of stride 16.
  const dims = [1, 10, 7];

  test('decodes cells of every stride, row by row', () => {
    const y = tensor(dims, (set) => {
      set(6 * 7, 0.5, 0.5, Math.log(1), Math.log(0.5), 0.9, 0.1, 1); // column 2, row 1 of stride 8
      set(9 * 7, 0.25, 0.5, Math.log(1), Math.log(1), 1, 0.8, 0); // column 1 of stride 16
    });
    expect(run(output, { y })).toEqual([
      {
        label: 1,
        score: expect.closeTo(0.9, 5),
        box: near([(20 - 4) / 32, (12 - 2) / 16, (20 + 4) / 32, (12 + 2) / 16]),
      },
      {
        label: 0,
        score: expect.closeTo(0.8, 5),
        box: near([(20 - 8) / 32, (8 - 8) / 16, (20 + 8) / 32, (8 + 8) / 16]),
      },
    ]);
  });
  test('takes boxes as they are, where they are decoded already', () => {
    const y = tensor(dims, (set) => set(0, 16, 8, 8, 4, 1, 1, 0));
    expect(run({ ...output, boxes: 'pixels' }, { y })).toEqual([
      { label: 0, score: 1, box: near([12 / 32, 6 / 16, 20 / 32, 10 / 16]) },
    ]);
  });
  test('applies sigmoids where the manifest says so', () => {
    const activations = { objectness: 'sigmoid', classes: 'sigmoid' } as const;
    const y = tensor(dims, (set) => {
      for (let cell = 0; cell < 10; cell++) set(cell * 7, 0, 0, 0, 0, -20, -20, -20);
      set(0, 0, 0, 0, 0, 20, 20, -20);
    });
    expect(run({ ...output, activations }, { y })).toMatchObject([{ label: 0, score: expect.closeTo(1, 5) }]);
  });
  test('drops what scores too low', () => {
    const y = tensor(dims, (set) => set(0, 0, 0, 0, 0, 0.7, 0.7, 0));
    expect(run(output, { y })).toEqual([]);
  });
  test.each([
    ['cells', [1, 11, 7]],
    ['numbers a cell', [1, 10, 8]],
    ['dimensions', [2, 5, 7]],
  ])('refuses a tensor with other %s', (_, other) => {
    expect(() => run(output, { y: tensor(other, () => {}) })).toThrow(
      expect.objectContaining({ code: 'model/wrong-output' }),
    );
  });
  test.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses %s anywhere', (value) => {
    expect(() => run(output, { y: tensor(dims, (set) => set(33, value)) })).toThrow(
      expect.objectContaining({ code: 'model/not-finite' }),
    );
  });
  test('refuses a box without end', () => {
    const y = tensor(dims, (set) => set(0, 0, 0, 1e6, 0, 1, 1, 0));
    expect(() => run(output, { y })).toThrow(expect.objectContaining({ code: 'model/not-finite' }));
  });
  test('refuses scores that are none', () => {
    const y = tensor(dims, (set) => set(0, 0, 0, 0, 0, 5, 1, 0));
    expect(() => run(output, { y })).toThrow(/score of 5\.000, outside 0 to 1/);
  });
});

test('FastestDet-like: planes of a grid, powers of objectness and class', () => {
  const output: DetectorOutput = {
    kind: 'fastestdet',
    tensor: 'y',
    centre: 'tanh',
    size: 'sigmoid',
    powers: { objectness: 0.6, classes: 0.4 },
    activations: plain,
    ...thresholds,
  };
  const [rows, columns] = [2, 4];
  const cell = 6; // column 2, row 1
  const plane = rows * columns;
  const y = tensor([1, 7, rows, columns], (set) => {
    [0.9, Math.atanh(0.5), Math.atanh(-0.25), 0, Math.log(0.25 / 0.75), 0.2, 0.8].forEach((value, index) =>
      set(index * plane + cell, value),
    );
  });
  const many = tensor([1, 7, 500, 401], () => {});
  expect(() => run(output, { y: many })).toThrow(expect.objectContaining({ code: 'model/too-complex' }));
  const [cx, cy, w, h] = [2.5 / 4, 0.75 / 2, 0.5, 0.25];
  expect(run(output, { y })).toEqual([
    {
      label: 1,
      score: expect.closeTo(0.9 ** 0.6 * 0.8 ** 0.4, 5),
      box: near([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]),
    },
  ]);
});

describe('SSD-like', () => {
  const output: SsdOutput = {
    kind: 'ssd',
    scores: 's',
    boxes: 'b',
    activation: 'none',
    background: 0,
    order: 'xyxy',
    coordinates: 'relative',
    ...thresholds,
  };
  const s = tensor([1, 2, 3], (set) => set(0, 0.9, 0.1, 0, 0.1, 0.2, 0.7));
  const boxes = (...values: number[]): OutputTensor => tensor([1, 2, 4], (set) => set(4, ...values));

  test.each([
    ['xyxy', 'relative', [0.1, 0.2, 0.3, 0.6]],
    ['yxyx', 'relative', [0.2, 0.1, 0.6, 0.3]],
    ['cxcywh', 'relative', [0.2, 0.4, 0.2, 0.4]],
    ['cycxhw', 'relative', [0.4, 0.2, 0.4, 0.2]],
    ['xyxy', 'pixels', [3.2, 3.2, 9.6, 9.6]],
    ['yxyx', 'pixels', [3.2, 3.2, 9.6, 9.6]],
    ['cxcywh', 'pixels', [6.4, 6.4, 6.4, 6.4]],
    ['cycxhw', 'pixels', [6.4, 6.4, 6.4, 6.4]],
  ] as const)('reads boxes as %s, %s', (order, coordinates, values) => {
    const found = run({ ...output, order, coordinates }, { s, b: boxes(...values) });
    expect(found).toEqual([{ label: 1, score: expect.closeTo(0.7, 5), box: near([0.1, 0.2, 0.3, 0.6]) }]);
  });
  test('reads a background at the end, and none', () => {
    const last = run({ ...output, background: 2, scoreThreshold: 0.15 }, { s, b: boxes(0, 0, 1, 1) });
    expect(last.map(({ label }) => label)).toEqual([1]); // row 0: its box is empty; row 1: 0.2 for class 1
    const none = run({ ...output, background: null }, { s, b: boxes(0, 0, 1, 1) }, ['a', 'b', 'c']);
    expect(none.map(({ label }) => label)).toEqual([2]);
  });
  test.each([
    [-0.1, 'model/wrong-output'],
    [1.1, 'model/wrong-output'],
    [Number.NaN, 'model/not-finite'],
  ])('takes no score of %f', (score, code) => {
    const odd = tensor([1, 1, 3], (set) => set(0, -1, score, -1));
    const b = tensor([1, 1, 4], (set) => set(0, 0, 0, 1, 1));
    expect(() => run(output, { s: odd, b })).toThrow(expect.objectContaining({ code }));
  });
  test('applies softmax', () => {
    const logits = tensor([1, 2, 3], (set) => set(0, 9, 0, 0, 0, 0, 9));
    expect(run({ ...output, activation: 'softmax' }, { s: logits, b: boxes(0, 0, 1, 1) })).toMatchObject([
      { label: 1, score: expect.closeTo(1, 3) },
    ]);
  });
  test('decodes offsets to priors', () => {
    const priors = { levels: [{ columns: 2, rows: 1, sizes: [[0.5, 0.25]] }], variances: [0.1, 0.2] };
    const found = run({ ...output, order: 'cxcywh', priors }, { s, b: boxes(1, -1, 1, 0) });
    const [cx, cy, w, h] = [0.75 + 0.1 * 0.5, 0.5 - 0.1 * 0.25, 0.5 * Math.exp(0.2), 0.25];
    expect(found).toMatchObject([{ label: 1, box: near([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) }]);
    expect(() => run({ ...output, order: 'cxcywh', priors: { ...priors, levels: [] } }, { s, b: boxes() })).toThrow(
      /\[1, 2, 4\], not/,
    );
  });
});

describe('suppression', () => {
  test.each<[string, Box, Box, number]>([
    ['the same', [0, 0, 2, 2], [0, 0, 2, 2], 1],
    ['a corner', [0, 0, 2, 2], [1, 1, 3, 4], 1 / 9],
    ['beside', [0, 0, 2, 2], [1, 0, 3, 2], 1 / 3],
    ['below', [0, 0, 2, 2], [0, 1, 2, 3], 1 / 3],
    ['inside', [0, 0, 4, 4], [1, 1, 3, 2], 1 / 8],
    ['apart, at the same height', [0, 0, 1, 1], [2, 0, 3, 1], 0],
    ['apart, one above the other', [0, 0, 1, 1], [0, 2, 1, 3], 0],
    ['touching', [0, 0, 1, 1], [1, 0, 2, 1], 0],
    ['of no size', [1, 1, 1, 1], [1, 1, 1, 1], 0],
  ])('overlap of two boxes: %s', (_, a, b, share) => {
    expect(overlap(a, b)).toBeCloseTo(share, 12);
    expect(overlap(b, a)).toBeCloseTo(share, 12);
  });

  const side = fc.double({ min: 0, max: 1, noNaN: true });
  const box = fc
    .tuple(side, side, side, side)
    .map(([a, b, c, d]): Box => [Math.min(a, b), Math.min(c, d), Math.max(a, b), Math.max(c, d)]);
  const candidates = fc.array(fc.record({ label: fc.nat(2), score: side, box }), { maxLength: 40 });

  test('keeps the best, and no two that overlap too much', () => {
    fc.assert(
      fc.property(candidates, side, fc.constantFrom('within-class', 'across-classes'), (list, iouThreshold, how) => {
        const kept = suppress(list, { iouThreshold, suppress: how }, 10);
        expect(kept.length).toBeLessThanOrEqual(10);
        if (list.length > 0) expect(kept[0]?.score).toBe(Math.max(...list.map(({ score }) => score)));
        kept.forEach((candidate, index) => {
          expect(list).toContain(candidate);
          for (const better of kept.slice(0, index)) {
            expect(better.score).toBeGreaterThanOrEqual(candidate.score);
            if (how === 'across-classes' || better.label === candidate.label) {
              expect(overlap(better.box, candidate.box)).toBeLessThanOrEqual(iouThreshold);
            }
          }
        });
      }),
    );
  });
  test('lets classes overlap each other unless told otherwise', () => {
    const list: BoxCandidate[] = [0, 1].map((label) => ({ label, score: 0.9, box: [0, 0, 1, 1] }));
    expect(suppress(list, { iouThreshold: 0.5 }, 10)).toHaveLength(2);
    expect(suppress(list, { iouThreshold: 0.5, suppress: 'across-classes' }, 10)).toHaveLength(1);
  });
  test('of very many candidates stays quick', () => {
    const list = Array.from({ length: 100_000 }, (_, index): BoxCandidate => {
      const x = (index % 300) / 300;
      return { label: 0, score: 0.5, box: [x, 0, x + 0.001, 0.001] };
    });
    expect(suppress(list, { iouThreshold: 0.5 }, 5)).toHaveLength(5);
  });
});

describe('classification', () => {
  const scores = (...values: number[]): OutputTensor => ({ data: Float32Array.from(values), dims: [1, values.length] });
  test('softmax of large logits is a distribution', () => {
    const found = classify(
      scores(1000, 999, -1000),
      { kind: 'classification', tensor: 'y', activation: 'softmax' },
      3,
      3,
    );
    expect(found.map(({ label }) => label)).toEqual([0, 1, 2]);
    expect(found.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 9);
  });
  test('equal scores come in the order of labels', () => {
    const found = classify(scores(0.25, 0.25, 0.25), { kind: 'classification', tensor: 'y', activation: 'none' }, 3, 2);
    expect(found.map(({ label }) => label)).toEqual([0, 1]);
  });
  test('of another number of classes is refused', () => {
    const run = (): unknown => classify(scores(1), { kind: 'classification', tensor: 'y', activation: 'none' }, 2, 1);
    expect(run).toThrow(expect.objectContaining({ code: 'model/wrong-output' }));
  });
});
