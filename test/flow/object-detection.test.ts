/** Public detectors on a real photograph, through the whole path: image, enclave, contribution, call. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { overlap } from '../../enclave/functions/object-detection/suppress.ts';
import type { DetectedObject } from '../../enclave/functions/object-detection/answer.ts';
import { describeWithVectors } from '../vectors.ts';
import { accord, agree, at, contribute, must, openPlace, parsed, takePart } from './collaboration.ts';
import type { Place } from './collaboration.ts';
import { ROOT } from './processes.ts';

interface Published {
  readonly imageSize: readonly [number, number];
  readonly seedPublished: { readonly boxesPx: readonly Readonly<Record<'x0' | 'y0' | 'x1' | 'y1', number>>[] };
}

describeWithVectors('object detection through the whole path', (folder) => {
  const picture = join(folder, 'images', 'air-show.jpg');
  const { imageSize, seedPublished }: Published = JSON.parse(
    readFileSync(join(folder, 'models', 'expected-air-show.json'), 'utf8'),
  );
  const [width, height] = imageSize;
  const published = seedPublished.boxesPx.map(
    ({ x0, y0, x1, y1 }) => [x0 / width, y0 / height, x1 / width, y1 / height] as const,
  );
  let place: Place;

  beforeAll(async () => {
    place = await openPlace();
    const agreement = await agree(place, join(ROOT, 'policies', 'examples', 'object-detection', 'policy.yaml'));
    await takePart(place, agreement, 'alice', 'bob');
  }, 120_000);
  afterAll(() => place.close(), 60_000);

  // One after the other in one enclave: the second model takes the first one's place.
  it.each(['FastestDet', 'yolox-nano'])('%s finds the five aeroplanes', { timeout: 120_000 }, async (name) => {
    const manifest = join(ROOT, 'test', 'vectors-manifests', `${name}.json`);
    const model = ['--model', join(folder, 'models', `${name}.onnx`), '--manifest', manifest];
    const { modelSha256 } = await contribute(place, 'detect', model);
    const { functions } = await must(place, 'quota', ...at(place, 'alice'));
    expect(Object(functions)).toMatchObject({ detect: { model: { from: 'bob', sha256: modelSha256 } } });

    const answered = await accord(
      place,
      'call',
      'detect',
      '--input',
      picture,
      ...at(place, 'alice'),
      '--json',
      '--new',
    );
    expect(answered.code, answered.err).toBe(0);
    const objects: readonly DetectedObject[] = Object(parsed(answered.out)).objects;
    expect(objects.map(({ label }) => label)).toEqual(Array<string>(5).fill('aeroplane'));
    for (const box of published) {
      const best = Math.max(
        ...objects.map(({ box: [ymin, xmin, ymax, xmax] }) => overlap(box, [xmin, ymin, xmax, ymax])),
      );
      expect(best).toBeGreaterThanOrEqual(0.75);
    }
    for (const { score, box } of objects) {
      for (const number of [score, ...box]) expect(number).toBe(Number(number.toFixed(3)));
    }
  });
});
