/** A contributed model as bytes: split, checked, refused with a code of its own. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packModel, parseModelPackage } from '../../../enclave/functions/model-package.ts';
import { functionOf, type ModelManifest } from '../../../enclave/functions/model-manifest.ts';
import { codeOf } from '../code-of.ts';

const onnx = Uint8Array.of(1, 2, 3);
const input = {
  tensor: 'x',
  dtype: 'float32',
  layout: 'NCHW',
  width: 64,
  height: 32,
  colour: 'RGB',
  resize: { mode: 'stretch' },
};
const classifier = {
  apiVersion: 'accord/v1',
  name: 'test',
  labels: ['a', 'b'],
  input,
  output: { kind: 'classification', tensor: 'y', activation: 'softmax' },
};
const thresholds = { scoreThreshold: 0.5, iouThreshold: 0.5 };
const activations = { objectness: 'none', classes: 'none' };
const yolox = { kind: 'yolox', tensor: 'y', strides: [8, 16], boxes: 'grid-exp', activations, ...thresholds };
const ssd = {
  kind: 'ssd',
  scores: 's',
  boxes: 'b',
  activation: 'none',
  background: 0,
  order: 'xyxy',
  coordinates: 'relative',
  ...thresholds,
};
const priors = { levels: [{ columns: 4, rows: 4, sizes: [[0.1, 0.1]] }], variances: [0.1, 0.2] };

const pack = (manifest: unknown): Uint8Array => packModel(JSON.stringify(manifest), onnx);
const parse = (manifest: object, kind: Parameters<typeof parseModelPackage>[1] = 'image-classification') =>
  parseModelPackage(pack({ ...classifier, ...manifest }), kind);
describe('a package', () => {
  test('comes apart as it was put together, and is named by one digest', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
        const packed = packModel(JSON.stringify(classifier), bytes);
        const parsed = parseModelPackage(packed, 'image-classification');
        expect(parsed.manifest).toEqual(classifier);
        expect(Buffer.from(parsed.manifestBytes).toString()).toBe(JSON.stringify(classifier));
        expect(Buffer.from(parsed.file)).toEqual(Buffer.from(bytes));
        expect(parsed.sha256).toBe(createHash('sha256').update(packed).digest('hex'));
      }),
    );
  });

  test.each([
    ['nothing', new Uint8Array(), 'model/malformed-package'],
    ['a length cut off', Uint8Array.of(0, 0, 0), 'model/malformed-package'],
    ['no manifest', Uint8Array.of(0, 0, 0, 0, 1), 'model/malformed-package'],
    ['a manifest of 4 GiB', Uint8Array.of(255, 255, 255, 255, 1), 'model/malformed-package'],
    ['no model', packModel(JSON.stringify(classifier), new Uint8Array()), 'model/malformed-package'],
    ['a manifest that is no JSON', packModel('{', onnx), 'model/malformed-manifest'],
    ['a manifest that is no UTF-8', Uint8Array.of(0, 0, 0, 1, 0xff, 1), 'model/malformed-manifest'],
    ['an ONNX file alone', Buffer.from('080712077079746f726368', 'hex'), 'model/malformed-package'],
    ['a model over 256 MiB', packModel(JSON.stringify(classifier), new Uint8Array(268_435_457)), 'model/too-large'],
  ])('of %s is refused', (_, bytes, code) => {
    expect(codeOf(() => parseModelPackage(bytes, 'image-classification'))).toBe(code);
  });

  test('of any bytes gives a model or a coded refusal', () => {
    const json = fc.json().map((text) => packModel(text, onnx));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), json), (bytes) => {
        expect(codeOf(() => parseModelPackage(bytes, 'image-classification'))).toMatch(/^(model\/[a-z-]+|none)$/);
      }),
    );
  });
});

describe('a manifest', () => {
  test.each(readdirSync(join(import.meta.dirname, '..', '..', 'vectors-manifests')))('%s is valid', (name) => {
    const text = readFileSync(join(import.meta.dirname, '..', '..', 'vectors-manifests', name), 'utf8');
    const manifest: ModelManifest = JSON.parse(text);
    expect(parseModelPackage(packModel(text, onnx), functionOf(manifest.output)).manifest).toEqual(manifest);
  });

  test.each([
    ['an unknown key', { colour: 'red' }, /additional properties.*"colour"/],
    ['another version', { apiVersion: 'accord/v2' }, /\/apiVersion must be equal to constant/],
    ['no labels', { labels: [] }, /\/labels/],
    ['one label twice', { labels: ['a', 'a'] }, /\/labels must NOT have duplicate items/],
    ['over a thousand labels', { labels: Array.from({ length: 1_001 }, String) }, /\/labels/],
    ['an empty label', { labels: [''] }, /\/labels\/0/],
    ['a label of 65 characters', { labels: ['x'.repeat(65)] }, /\/labels\/0/],
    ['a control character', { labels: ['a\u001b[31m'] }, /\/labels\/0 must match pattern/],
    ['a change of writing direction', { labels: ['a\u202eb'] }, /\/labels\/0/],
    ['half a character', { labels: ['\ud800'] }, /\/labels\/0/],
    ['an input of no width', { input: { ...input, width: 0 } }, /\/input\/width/],
    ['an enormous input', { input: { ...input, width: 100_000 } }, /\/input\/width/],
    ['a fractional width', { input: { ...input, width: 1.5 } }, /\/input\/width/],
    ['a deviation of zero', { input: { ...input, std: [0] } }, /\/input\/std\/0/],
    ['a resize that nobody knows', { input: { ...input, resize: { mode: 'seam-carve' } } }, /\/input\/resize/],
    ['a padding beside a stretch', { input: { ...input, resize: { mode: 'stretch', pad: 0 } } }, /"pad"/],
    ['an output that nobody knows', { output: { kind: 'code' } }, /\/output/],
    ['code', { output: { ...classifier.output, script: 'return 1' } }, /"script"/],
  ])('with %s is refused, and told where', (_, manifest, message) => {
    expect(codeOf(() => parse(manifest))).toBe('model/malformed-manifest');
    expect(() => parse(manifest)).toThrow(message);
  });

  test.each([
    ['a line separator', 'a\u2028b'],
    ['a paragraph separator', 'a\u2029b'],
    ['a space that is none of ours', 'a\u00a0b'],
    ['a filler of Hangul', '\u3164'],
    ['a first filler of Hangul', 'a\u115f'],
    ['a middle filler of Hangul', 'a\u1160'],
    ['a filler of half width', 'a\uffa0'],
    ['a blank of Braille', '\u2800'],
    ['a selector of variations', 'a\ufe00'],
    ['five marks on one letter', `a${'\u0323'.repeat(5)}`],
    ['a mark on nothing', '\u0301a'],
    ['a space at its end', 'a '],
    ['two spaces', 'a  b'],
    ['nothing but a space', ' '],
  ])('with a label or a name of %s is refused', (_, text) => {
    const tree = { input: { features: [text] }, output: { kind: 'tree', format: 'json' } };
    expect(() => parse({ labels: ['a', text] })).toThrow(/\/labels\/1 must match pattern/);
    expect(() => parse({ name: text })).toThrow(/\/name must match pattern/);
    expect(() => parse(tree, 'decision-tree')).toThrow(/\/input\/features\/0 must match pattern/);
  });

  test('with texts that are not in form C is refused: two could look alike', () => {
    const where = (what: string) => expect.objectContaining({ code: 'model/malformed-manifest', where: what });
    const tree = { input: { features: ['a', 'e\u0301'] }, output: { kind: 'tree', format: 'json' } };
    expect(() => parse({ labels: ['\u00e9', 'e\u0301'] })).toThrow(where('manifest /labels/1'));
    expect(() => parse({ name: '\u212b' })).toThrow(where('manifest /name'));
    expect(() => parse(tree, 'decision-tree')).toThrow(where('manifest /input/features/1'));
  });

  test('may have labels of any script', () => {
    const labels = ['n\u00e6vus', '\u6c34\u75d8', '\u05e9\u05d5\u05de\u05d4', '\u0915\u094d\u0937\u093f', 't-shirt, 1/2 (b&w)', '\u{1f600}', 'q\u0323\u0307']; // prettier-ignore
    expect(parse({ labels }).manifest.labels).toEqual(labels);
  });

  test('with a name twice in one object is refused: readers would disagree which of the two holds', () => {
    const json = JSON.stringify(classifier);
    const texts = [
      `{"labels":["benign"],${json.slice(1)}`,
      json.replace('"width":64', '"width":64,"wid\\u0074h":65'),
      json.replace('"width":64', '"width":64,"width":64'),
    ];
    for (const text of texts) {
      expect(() => parseModelPackage(packModel(text, onnx), 'image-classification')).toThrow(
        expect.objectContaining({
          code: 'model/malformed-manifest',
          message: expect.stringContaining('a name that stands twice'),
          where: expect.stringMatching(/^manifest, character \d+$/),
        }),
      );
    }
  });

  test('that is nested too deeply is refused', () => {
    const text = JSON.stringify(classifier).replace('["a","b"]', `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(() => parseModelPackage(packModel(text, onnx), 'image-classification')).toThrow(/nested too deeply/);
  });

  test('with a number that is none is refused', () => {
    const text = JSON.stringify({ ...classifier, input: { ...input, scale: 1 } }).replace('"scale":1', '"scale":1e999');
    expect(codeOf(() => parseModelPackage(packModel(text, onnx), 'image-classification'))).toBe(
      'model/malformed-manifest',
    );
  });

  test('for another function is refused', () => {
    expect(codeOf(() => parse({ output: yolox }))).toBe('model/wrong-function');
    expect(codeOf(() => parse({}, 'object-detection'))).toBe('model/wrong-function');
  });

  test('with more labels than the policy takes is refused', () => {
    const packed = pack(classifier);
    expect(parseModelPackage(packed, 'image-classification', 2).manifest.labels).toEqual(['a', 'b']);
    expect(codeOf(() => parseModelPackage(packed, 'image-classification', 1))).toBe('model/wrong-function');
  });

  test.each([
    ['two means for three channels', { input: { ...input, mean: [1, 2] } }, 'image-classification', '/input/mean'],
    ['three for one', { input: { ...input, colour: 'gray', std: [1, 2, 3] } }, 'image-classification', '/input/std'],
    ['scaled bytes', { input: { ...input, dtype: 'uint8', scale: 2 } }, 'image-classification', '/input'],
    [
      'too short a side',
      { input: { ...input, resize: { mode: 'crop', shortSide: 40 } } },
      'image-classification',
      '/input/resize/shortSide',
    ],
    [
      'a stride that does not divide',
      { output: { ...yolox, strides: [8, 24] } },
      'object-detection',
      '/output/strides',
    ],
    [
      'too many cells',
      { input: { ...input, width: 2048, height: 2048 }, output: { ...yolox, strides: [1] } },
      'object-detection',
      '/output/strides',
    ],
    [
      'a background beyond the classes',
      { output: { ...ssd, background: 3 } },
      'object-detection',
      '/output/background',
    ],
    ['corners as offsets', { output: { ...ssd, priors } }, 'object-detection', '/output/order'],
    [
      'offsets in pixels',
      { output: { ...ssd, priors, order: 'cxcywh', coordinates: 'pixels' } },
      'object-detection',
      '/output/coordinates',
    ],
  ] as const)('with %s is inconsistent', (_, manifest, kind, where) => {
    expect(() => parse(manifest, kind)).toThrow(
      expect.objectContaining({ code: 'model/inconsistent-manifest', where: `manifest ${where}` }),
    );
  });
});
