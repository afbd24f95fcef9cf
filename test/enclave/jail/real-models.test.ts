/** Public models on real pictures, through the processes they run in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import sharp from 'sharp';
import type { FunctionAnswer } from '../../../enclave/jail/gate-side.ts';
import { packModel, parseModelPackage } from '../../../enclave/functions/model-package.ts';
import type { DetectedObject } from '../../../enclave/functions/object-detection/answer.ts';
import { overlap } from '../../../enclave/functions/object-detection/suppress.ts';
import type { PictureFunctionKind } from '../../../policies/model.ts';
import { describeWithVectors } from '../../vectors.ts';
import { jailEntries, type Entries } from './entries.ts';
import { policyFor } from './models.ts';
import { openComputer } from './open-computer.ts';

interface Expected {
  readonly imageSize: readonly [number, number];
  readonly seedPublished: { readonly boxesPx: readonly Readonly<Record<'x0' | 'y0' | 'x1' | 'y1', number>>[] };
}

describeWithVectors('real models', (folder) => {
  let entries: Entries;
  beforeAll(async () => {
    entries = await jailEntries();
  });
  afterAll(() => entries.remove());

  const airShow = readFileSync(join(folder, 'images', 'air-show.jpg'));
  const expected: Expected = JSON.parse(readFileSync(join(folder, 'models', 'expected-air-show.json'), 'utf8'));
  const [width, height] = expected.imageSize;
  const published = expected.seedPublished.boxesPx.map(
    ({ x0, y0, x1, y1 }) => [x0 / width, y0 / height, x1 / width, y1 / height] as const,
  );

  async function run(
    name: string,
    kind: PictureFunctionKind,
    inputs: readonly Uint8Array[],
  ): Promise<readonly FunctionAnswer[]> {
    const manifest = readFileSync(join(import.meta.dirname, '..', '..', 'vectors-manifests', `${name}.json`), 'utf8');
    const onnx = readFileSync(join(folder, 'models', `${name}.onnx`));
    const model = parseModelPackage(packModel(manifest, onnx), kind);
    const computer = await openComputer(entries.paths, {
      kind,
      model,
      policy: policyFor(kind, { topK: 20 }),
    });
    try {
      const outputs: FunctionAnswer[] = [];
      for (const input of inputs)
        outputs.push(
          await computer.run([input], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() }),
        );
      return outputs;
    } finally {
      await computer.close();
    }
  }
  const objects = (output: FunctionAnswer | undefined): readonly DetectedObject[] =>
    output !== undefined && 'objects' in output ? output.objects : [];
  const matches = (found: readonly DetectedObject[]): readonly number[] =>
    published.map((box) =>
      Math.max(0, ...found.map(({ box: [ymin, xmin, ymax, xmax] }) => overlap(box, [xmin, ymin, xmax, ymax]))),
    );

  describe.each(['FastestDet', 'yolox-nano'])('%s finds the five aeroplanes of air-show.jpg', (name) => {
    test('where they were published, and nothing else', async () => {
      const [found] = await run(name, 'object-detection', [airShow]);
      expect(objects(found).map(({ label }) => label)).toEqual(Array<string>(5).fill('aeroplane'));
      for (const iou of matches(objects(found))) expect(iou).toBeGreaterThanOrEqual(0.75);
      for (const { score, box } of objects(found)) {
        expect(score).toBeGreaterThan(0.7);
        for (const number of [score, ...box]) expect(number).toBe(Number(number.toFixed(3)));
      }
    });

    test('in the picture as its EXIF orientation shows it', async () => {
      // Stored lying on its side, with the orientation that sets it upright again.
      const turned = await sharp(airShow).rotate(270).withMetadata({ orientation: 6 }).jpeg({ quality: 92 }).toBuffer();
      const [found] = await run(name, 'object-detection', [turned]);
      const ious = matches(objects(found));
      expect(
        ious.filter((iou) => iou > 0.7),
        JSON.stringify(ious),
      ).toHaveLength(5);
    });
  });

  test('UltraFace runs: no faces among aeroplanes', async () => {
    expect(await run('ultraface-RFB-320', 'object-detection', [airShow])).toEqual([{ objects: [] }]);
  });

  test('MNIST reads drawn digits', async () => {
    const draw = (path: string): Promise<Buffer> =>
      sharp(
        Buffer.from(
          `<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28"><rect width="28" height="28" fill="black"/>` +
            `<path d="${path}" fill="none" stroke="white" stroke-width="2.6" stroke-linecap="round"/></svg>`,
        ),
      )
        .png()
        .toBuffer();
    const zero = await draw('M14 5 C7 5 7 23 14 23 C21 23 21 5 14 5');
    const one = await draw('M14 5 L14 23');
    const seven = await draw('M8 6 L20 6 L12 23');
    const outputs = await run('mnist', 'image-classification', [zero, one, seven]);
    expect(outputs.map((output) => ('labels' in output ? output.labels[0]?.label : ''))).toEqual([
      'zero',
      'one',
      'seven',
    ]);
  });
});
