/** The gate's writing of an answer: indexes to labels, boxes to the oriented picture, digits to the policy's. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Candidate } from '../../../enclave/functions/candidate.ts';
import { rebuildLabels } from '../../../enclave/functions/image-classification/answer.ts';
import { rebuildObjects } from '../../../enclave/functions/object-detection/answer.ts';
import { MAX_SIDE, MIN_SIDE, MEDIA_TYPES } from '../../../enclave/functions/picture.ts';
import { round } from '../../../enclave/functions/round.ts';
import { validateOutput } from '../../../enclave/functions/validate-output.ts';
import { validatePicture } from '../../../enclave/functions/validate-picture.ts';
import { place, toPicture, type TensorSize } from '../../../enclave/jail/geometry.ts';

const labels = ['cat', 'dog', 'owl'];
const limits = { topK: 3, decimals: 2 };
const same = (x: number, y: number): readonly [number, number] => [x, y];

describe('rounding', () => {
  test('gives the nearest number of so many digits, as people write it', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 6 }), (value, decimals) => {
        const rounded = round(value, decimals);
        expect(Math.abs(rounded - value)).toBeLessThanOrEqual(0.5 / 10 ** decimals + 1e-12);
        expect(JSON.stringify(rounded)).toMatch(new RegExp(`^(0|1|0\\.\\d{1,${Math.max(1, decimals)}}|\\de-\\d)$`));
        expect(Object.is(rounded, -0)).toBe(false);
      }),
    );
  });
});

describe('labels', () => {
  const list = (...entries: readonly (readonly [number, number])[]): Candidate[] =>
    entries.map(([label, score]) => ({ label, score }));
  test('are those of the manifest, scores rounded', () => {
    expect(rebuildLabels(list([2, 0.987], [0, 0.011], [1, 0.002]), labels, limits)).toEqual({
      labels: [
        { label: 'owl', score: 0.99 },
        { label: 'cat', score: 0.01 },
        { label: 'dog', score: 0 },
      ],
    });
  });
  test('twice the same, or another number than asked for, are refused', () => {
    expect(rebuildLabels(list([0, 1], [0, 1], [1, 1]), labels, limits)).toBeUndefined();
    expect(rebuildLabels(list([0, 1]), labels, limits)).toBeUndefined();
  });
  test('beyond the manifest are refused', () => {
    expect(rebuildLabels(list([0, 0.5], [1, 0.5], [9, 0.5]), labels, limits)).toBeUndefined();
  });
});

describe('objects', () => {
  const one = (box: Candidate['box'], label = 1): Candidate[] => [
    { label, score: 0.876, ...(box === undefined ? {} : { box }) },
  ];
  test('have boxes as ymin, xmin, ymax, xmax, clipped and rounded', () => {
    expect(rebuildObjects(one([-0.5, 0.123, 0.456, 1.5]), labels, limits, same)).toEqual({
      objects: [{ label: 'dog', score: 0.88, box: [0.12, 0, 1, 0.46] }],
    });
  });
  test('outside of the picture are left out', () => {
    expect(rebuildObjects(one([1.2, 0, 1.5, 1]), labels, limits, same)).toEqual({ objects: [] });
  });
  test.each([
    ['beyond the manifest', one([0, 0, 1, 1], 3)],
    ['without a box', one(undefined)],
    ['with a box inside out', one([1, 0, 0, 1])],
    ['more than asked for', Array.from({ length: 4 }, () => one([0, 0, 1, 1])[0] ?? { label: 0, score: 0 })],
  ])('%s are refused', (_, list) => {
    expect(rebuildObjects(list, labels, limits, same)).toBeUndefined();
  });
  test('of any candidates are valid or refused', () => {
    const number = fc.double({ noNaN: true, noDefaultInfinity: true });
    const candidate = fc.record({
      label: fc.nat(4),
      score: fc.double({ min: 0, max: 1, noNaN: true }),
      box: fc.tuple(number, number, number, number),
    });
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 4 }), (list) => {
        const answer = rebuildObjects(list, labels, limits, same);
        if (answer !== undefined) expect(validateOutput('object-detection', answer)).toBeUndefined();
      }),
    );
  });
});

describe('geometry', () => {
  const size = fc.integer({ min: MIN_SIDE, max: MAX_SIDE });
  const side = fc.integer({ min: 1, max: 2048 });
  const resize: fc.Arbitrary<TensorSize['resize']> = fc.oneof(
    fc.constant({ mode: 'stretch' } as const),
    fc.record({
      mode: fc.constant('letterbox' as const),
      position: fc.constantFrom('top-left', 'centre'),
      pad: fc.nat(255),
    }),
    fc.constant({ mode: 'crop' } as const),
  );
  const frame = fc.record({ width: side, height: side, resize });

  test('what is placed in the tensor is found again in the picture', () => {
    const relative = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(frame, size, size, relative, relative, (frame, width, height, x, y) => {
        const placement = place(frame, width, height);
        const tensorX = (placement.left + x * placement.width) / frame.width;
        const tensorY = (placement.top + y * placement.height) / frame.height;
        const [backX, backY] = toPicture(frame, placement, tensorX, tensorY);
        expect(backX).toBeCloseTo(x, 6);
        expect(backY).toBeCloseTo(y, 6);
      }),
    );
  });
  test('a letterbox holds the whole picture, a crop is covered by it', () => {
    fc.assert(
      fc.property(frame, size, size, (frame, width, height) => {
        const { width: w, height: h, left, top } = place(frame, width, height);
        for (const value of [w, h, left, top]) expect(Number.isInteger(value)).toBe(true);
        if (frame.resize.mode === 'crop') {
          expect(left <= 0 && top <= 0 && left + w >= frame.width && top + h >= frame.height).toBe(true);
        } else {
          expect(left >= 0 && top >= 0 && left + w <= frame.width && top + h <= frame.height).toBe(true);
          expect(w >= 1 && h >= 1).toBe(true);
        }
      }),
    );
  });
});

describe('the schemas', () => {
  test('of pictures say what the decoder enforces', () => {
    const picture = { mediaType: 'image/png', bytes: 100, width: MIN_SIDE, height: MAX_SIDE };
    expect(validatePicture(picture)).toBeUndefined();
    for (const mediaType of MEDIA_TYPES) expect(validatePicture({ ...picture, mediaType })).toBeUndefined();
    for (const wrong of [
      { mediaType: 'image/gif' },
      { bytes: 0 },
      { width: MIN_SIDE - 1 },
      { height: MAX_SIDE + 1 },
      { extra: 1 },
    ]) {
      expect(validatePicture({ ...picture, ...wrong })).toBeTypeOf('string');
    }
  });
  test.each([
    ['a score of two', { objects: [{ label: 'a', score: 2, box: [0, 0, 1, 1] }] }, /\/objects\/0\/score must be <= 1/],
    ['three corners', { objects: [{ label: 'a', score: 1, box: [0, 0, 1] }] }, /\/objects\/0\/box/],
    ['a further key', { objects: [], note: 'x' }, /"note"/],
    ['another answer', { labels: [] }, /objects/],
    ['no answer', null, /object/],
    ['NaN', { objects: [{ label: 'a', score: Number.NaN, box: [0, 0, 1, 1] }] }, /score/],
  ])('of answers refuse %s', (_, value, message) => {
    expect(validateOutput('object-detection', value)).toMatch(message);
  });
});
