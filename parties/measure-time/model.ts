/** What is measured with: the contributed model, or, of trees, any that the policy takes. */
import { packModel, parseModelPackage } from '../../enclave/functions/model-package.ts';
import { isTreeManifest } from '../../enclave/functions/model-manifest.ts';
import type { ModelPackage } from '../../enclave/functions/model-package.ts';
import type { TreePolicy } from '../../policies/model.ts';

/** A tree of one leaf over as many features as the policy takes: every tree is padded to the same bounds. */
export function anyTree({ tree: { features }, output }: TreePolicy): ModelPackage {
  const manifest = {
    apiVersion: 'accord/v1',
    name: 'any tree',
    input: { features: Array.from({ length: features }, (_, index) => `f${index}`) },
    output: { kind: 'tree', format: 'json' },
    labels: ['a'],
  };
  const file = new TextEncoder().encode(JSON.stringify({ tree: { label: 'a' } }));
  return parseModelPackage(packModel(JSON.stringify(manifest), file), 'decision-tree', output.labels);
}

/** A record with every feature of the model. */
export function anyRecord({ manifest }: ModelPackage): Uint8Array {
  const features = isTreeManifest(manifest) ? manifest.input.features : [];
  const record = Object.fromEntries(features.map((name) => [name, 0.5]));
  return new TextEncoder().encode(JSON.stringify({ features: record }));
}
