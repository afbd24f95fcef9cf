/** Alice's tree and Bob's records through the whole path: image, enclave, contribution as JSON and as ONNX, calls. */
import { writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readTree } from '../../enclave/jail/tree-file.ts';
import { parseModelPackage, packModel } from '../../enclave/functions/model-package.ts';
import { attributesOf, texts, treeFile, plainWeights } from '../enclave/functions/decision-tree/onnx-trees.ts';
import { accord, agree, at, openPlace, parsed, takePart, type Place } from './collaboration.ts';
import { ROOT } from './processes.ts';

const EXAMPLE = join(ROOT, 'policies', 'examples', 'triage');
const LABELS = { 'bob-1': 'can wait', 'bob-2': 'today', 'bob-3': 'at once' } as const;
let place: Place;

beforeAll(async () => {
  place = await openPlace();
  const agreement = await agree(place, join(EXAMPLE, 'policy.yaml'));
  await takePart(place, agreement, 'alice', 'bob');
}, 180_000);
afterAll(() => place.close(), 60_000);

const give = (model: string, manifest: string) =>
  accord(place, 'contribute', 'triage', '--model', model, '--manifest', manifest, ...at(place, 'alice'), '--json');
const ask = (input: string) =>
  accord(place, 'call', 'triage', '--input', input, ...at(place, 'bob'), '--json', '--new');

test('a tree as JSON gives each record its label', { timeout: 180_000 }, async () => {
  const given = await give(join(EXAMPLE, 'tree.json'), join(EXAMPLE, 'manifest.json'));
  expect(given.code, given.err).toBe(0);
  for (const [name, label] of Object.entries(LABELS)) {
    const answered = await ask(join(EXAMPLE, 'inputs', `${name}.json`));
    expect(answered.code, answered.err).toBe(0);
    expect(parsed(answered.out)).toMatchObject({ label });
  }
});

test('what is no record is refused at home, and costs no call', { timeout: 60_000 }, async () => {
  const path = join(place.folder, 'none.json');
  await writeFile(path, '{"features": {"age": "old"}}');
  const answered = await ask(path);
  expect(answered.code).toBe(10);
  expect(answered.out).toContain('is no record: /features/age');
});

test('a record that lacks a feature is refused in words', { timeout: 60_000 }, async () => {
  const path = join(place.folder, 'lacking.json');
  await writeFile(path, '{"features": {"age": 3}}');
  const answered = await ask(path);
  expect(answered.code).toBe(10);
  expect(answered.out).toContain('input-invalid');
  expect(answered.out).toContain('temperature');
});

test('the same tree as ONNX takes its place and says the same', { timeout: 180_000 }, async () => {
  const written = readFileSync(join(EXAMPLE, 'manifest.json'), 'utf8');
  const packed = packModel(written, readFileSync(join(EXAMPLE, 'tree.json')));
  const { manifest, file } = parseModelPackage(packed, 'decision-tree');
  const { labels, input } = manifest;
  const tree = readTree(file, manifest, { depth: 8, nodes: 63, features: 16 });
  const named = [texts('classlabels_strings', labels), { name: 'classlabels_int64s', ints: [] }];
  const onnx = treeFile(
    attributesOf(tree, labels.length, plainWeights(tree, labels.length), named),
    input.features.length,
  );
  const [model, description] = [join(place.folder, 'tree.onnx'), join(place.folder, 'manifest.json')];
  await writeFile(model, onnx);
  await writeFile(description, written.replace('"format": "json"', '"format": "onnx"'));

  const given = await give(model, description);
  expect(given.code, given.err).toBe(0);
  const answered = await ask(join(EXAMPLE, 'inputs', 'bob-2.json'));
  expect(parsed(answered.out), answered.err).toMatchObject({ label: 'today' });
});

test('a tree beyond the bounds is refused before anything is sent', { timeout: 60_000 }, async () => {
  const path = join(place.folder, 'deep.json');
  let node: object = { label: 'today' };
  for (let depth = 0; depth < 9; depth++) {
    node = { feature: 'age', is: '<', value: depth, yes: { label: 'can wait' }, no: node };
  }
  await writeFile(path, JSON.stringify({ tree: node }));
  const given = await give(path, join(EXAMPLE, 'manifest.json'));
  expect(given.code).toBe(30);
  expect(given.err + given.out).toContain('more than 8 decisions');
});
