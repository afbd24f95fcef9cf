/** The examples are whole: policy, model, manifest and pictures, each taken by what reads it. */
import { Ajv } from 'ajv';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { packModel, parseModelPackage } from '../../enclave/functions/model-package.ts';
import { inspectOnnx } from '../../enclave/jail/onnx/inspect.ts';
import { matchManifest } from '../../enclave/jail/onnx/match-manifest.ts';
import { readTree } from '../../enclave/jail/tree-file.ts';
import { loadPolicy } from '../../policies/load.ts';
import { policySchema } from '../../policies/schema.ts';
import { accord, GOOD } from './written.ts';

const policies = join(import.meta.dirname, '..', '..', 'policies');
const PICTURES = ['object-detection', 'skin-lesion-screening', 'skin-lesion-screening-charlie'];
const EXAMPLES = [...PICTURES, 'triage'];
const published: object = JSON.parse(readFileSync(join(policies, 'policy.schema.json'), 'utf8'));
const valid = new Ajv({ strict: true, allowUnionTypes: true }).compile(published);

test('the published schema is that of the loader', () => {
  expect(published).toEqual(policySchema);
  expect(valid(parse(GOOD))).toBe(true);
  expect(valid({ ...parse(GOOD), quotas: 3 })).toBe(false);
});

test('every folder is an example or makes them', () => {
  expect(readdirSync(join(policies, 'examples')).sort()).toEqual([...EXAMPLES, 'training'].sort());
});

test('the example that may be composed with anchors has then neither of the weaknesses that they end', async () => {
  const folder = join(policies, 'examples', 'skin-lesion-screening');
  const [plain, composed] = await Promise.all(
    [[], [join(folder, 'anchors.yaml')]].map((parts) => accord(['check', join(folder, 'policy.yaml'), ...parts])),
  );
  expect(plain).toMatchObject({ code: 0, err: '', out: expect.stringContaining('[no-anchors]') });
  expect(composed).toMatchObject({ code: 0, err: '' });
  expect(composed?.out).not.toMatch(/no-anchors|no-sealed-state|weak-quorum/);
  expect(composed?.out).toMatch(/s3:\/\/alice-accord-anchor\/accord\/ in eu-west-1/);
});

describe.each(EXAMPLES)('%s', (name) => {
  const folder = join(policies, 'examples', name);
  const text = readFileSync(join(folder, 'policy.yaml'), 'utf8');
  const policy = loadPolicy(text, { file: 'policy.yaml' });
  const [owner] = Object.values(policy.functions);

  test('its policy has no fault, by the loader and by the schema', async () => {
    expect(valid(parse(text)), JSON.stringify(valid.errors)).toBe(true);
    expect(policy.collaboration).toBe(name);
    for (const verb of ['check', 'explain']) {
      expect(await accord([verb, join(folder, 'policy.yaml')])).toMatchObject({ code: 0, err: '' });
    }
  });

  test.runIf(PICTURES.includes(name))('its model is of a kind that the function takes, and small', () => {
    const onnx = readFileSync(join(folder, 'model.onnx'));
    expect(onnx.length).toBeLessThanOrEqual(2 * 1024 * 1024);
    const packed = packModel(readFileSync(join(folder, 'manifest.json'), 'utf8'), onnx);
    const model = parseModelPackage(packed, owner?.uses === 'object-detection' ? owner.uses : 'image-classification');
    expect(() => matchManifest(inspectOnnx(model.file), model.manifest)).not.toThrow();
  });

  test('it has inputs of its callers, as many as they may call with or fewer, none too large', () => {
    const files = readdirSync(join(folder, 'inputs'));
    expect(files.length).toBeGreaterThan(1);
    for (const [caller, calls] of Object.entries(owner?.calls ?? {})) {
      const own = files.filter((file) => file.startsWith(`${caller}-`));
      expect(own.length, caller).toBeGreaterThan(0);
      expect(own.length, caller).toBeLessThanOrEqual(calls);
    }
    for (const file of files) {
      expect(readFileSync(join(folder, 'inputs', file)).length).toBeLessThanOrEqual(owner?.input.maxBytes ?? 0);
    }
  });
});

test('the tree of triage is one that its policy takes', () => {
  const folder = join(policies, 'examples', 'triage');
  const { triage } = loadPolicy(readFileSync(join(folder, 'policy.yaml'), 'utf8'), { file: 'policy.yaml' }).functions;
  if (triage?.uses !== 'decision-tree') throw new Error('triage is no decision tree');
  const packed = packModel(
    readFileSync(join(folder, 'manifest.json'), 'utf8'),
    readFileSync(join(folder, 'tree.json')),
  );
  const { manifest, file } = parseModelPackage(packed, triage.uses, triage.output.labels);
  expect(readTree(file, manifest, triage.tree)).toHaveLength(17);
});
