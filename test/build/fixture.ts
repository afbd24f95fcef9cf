/** A small installation to build from, so that a test of the pipeline takes milliseconds. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseOptions } from '../../build/local-base.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { Policy } from '../../policies/model.ts';
import { noise, text } from './eif/samples.ts';

/** A base of 3 MB with a made-up Node and one package. */
export async function smallBase(folder: string): Promise<BaseOptions> {
  const node = join(folder, 'node');
  const home = join(folder, 'node_modules', 'tiny');
  await mkdir(home, { recursive: true });
  await writeFile(node, noise(3_000_000, 5), { mode: 0o755 });
  await writeFile(join(home, 'package.json'), JSON.stringify({ name: 'tiny', version: '1.2.3' }));
  await writeFile(join(home, 'index.js'), 'export const tiny = true;\n');
  await writeFile(join(folder, 'package.json'), '{}');
  return {
    root: folder,
    node,
    packages: ['tiny'],
    bundles: [
      {
        path: 'rootfs/accord/gate.mjs',
        bytes: text('export {};\n'),
        inputs: ['enclave/main'],
        packages: ['hpke@1.1.7'],
      },
    ],
  };
}

export function policyWith(calls: number, collaboration = 'trial'): Policy {
  return loadPolicy(policyTextWith(calls, collaboration), { file: 'policy.yaml' });
}

/** As its authors wrote it. */
export function policyTextWith(calls: number, collaboration = 'trial'): string {
  const lines = [
    'apiVersion: accord/v1',
    `collaboration: ${collaboration}`,
    'until: 2099-06-30',
    'parties:',
    '  alice: { role: data-owner, kmsKeyArn: "arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001" }',
    '  bob: { role: model-owner, kmsKeyArn: "arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002" }',
    'functions:',
    '  classify:',
    '    uses: image-classification',
    '    model: bob',
    `    calls: { alice: ${calls}, bob: 2 }`,
    '    input: { maxBytes: 4MiB }',
    '    output: { topK: 1, decimals: 2 }',
    '    release: { padTo: 1KiB }',
    'anchors: none',
    'enclave: { memoryMiB: 1024, cpus: 2 }',
  ];
  return lines.join('\n');
}
