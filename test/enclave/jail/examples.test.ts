/** The examples' models read the examples' pictures rightly, as the enclave runs them: real jails, the examples' policies. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packModel, parseModelPackage } from '../../../enclave/functions/model-package.ts';
import { loadPolicy } from '../../../policies/load.ts';
import { jailEntries, type Entries } from './entries.ts';
import { openComputer } from './open-computer.ts';

let entries: Entries;
beforeAll(async () => {
  entries = await jailEntries();
});
afterAll(() => entries.remove());

const examples = join(import.meta.dirname, '..', '..', '..', 'policies', 'examples');

/** What each picture of an example gives, by file name. */
async function answers(example: string): Promise<Readonly<Record<string, unknown>>> {
  const folder = join(examples, example);
  const read = (file: string): Buffer => readFileSync(join(folder, file));
  const [policy] = Object.values(loadPolicy(read('policy.yaml').toString(), { file: example }).functions);
  if (policy === undefined || policy.uses === 'counter') throw new Error(`${example} has no function with a model`);
  const packed = packModel(read('manifest.json').toString(), read('model.onnx'));
  const model = parseModelPackage(packed, policy.uses);
  const computer = await openComputer(entries.paths, {
    kind: policy.uses,
    model,
    policy,
  });
  try {
    const found: [string, unknown][] = [];
    for (const file of readdirSync(join(folder, 'inputs')).sort()) {
      found.push([
        file,
        await computer.run([read(join('inputs', file))], {
          party: 'alice',
          signal: AbortSignal.timeout(20_000),
          left: Promise.resolve(),
        }),
      ]);
    }
    return Object.fromEntries(found);
  } finally {
    await computer.close();
  }
}

test.each([
  [
    'skin-lesion-screening',
    {
      'alice-1.jpg': 'melanoma',
      'alice-2.jpg': 'melanocytic nevus',
      'alice-3.jpg': 'basal cell carcinoma',
      'bob-1.jpg': 'vascular lesion',
      'bob-2.jpg': 'dermatofibroma',
    },
  ],
  [
    'skin-lesion-screening-charlie',
    {
      'alice-1.jpg': 'benign keratosis',
      'alice-2.jpg': 'melanoma',
      'charlie-1.jpg': 'actinic keratosis',
      'charlie-2.jpg': 'melanocytic nevus',
      'charlie-3.jpg': 'dermatofibroma',
      'charlie-4.jpg': 'vascular lesion',
    },
  ],
] as const)('%s', async (example, labels) => {
  const expected = Object.entries(labels).map(([file, label]) => [
    file,
    { labels: [{ label, score: expect.toSatisfy((score: number) => score > 0.4 && score <= 1) }] },
  ]);
  expect(await answers(example)).toEqual(Object.fromEntries(expected));
});

interface Found {
  readonly label: string;
  readonly box: readonly number[];
}

test('object-detection', async () => {
  const found = await answers('object-detection');
  expect(Object.keys(found)).toEqual(['alice-1.jpg', 'alice-2.jpg', 'bob-1.jpg']);
  for (const answer of Object.values(found)) {
    expect(answer).toEqual({ objects: expect.any(Array) });
    const { objects }: { readonly objects: readonly Found[] } = JSON.parse(JSON.stringify(answer));
    expect(objects.length).toBeGreaterThanOrEqual(3);
    for (const { label, box } of objects) {
      expect(['balloon', 'kite', 'aeroplane']).toContain(label);
      const [top = 0, left = 0, bottom = 0, right = 0] = box;
      // Things are drawn between a seventh and two fifths of the picture.
      expect(bottom - top).toBeGreaterThan(0.08);
      expect(right - left).toBeGreaterThan(0.08);
      expect(bottom - top).toBeLessThan(0.6);
      expect(right - left).toBeLessThan(0.6);
    }
  }
});
