/** What is computed in the benchmark: models and pictures, real ones where they stand beside the repository. */
import { standardBuckets } from '../../policies/buckets.ts';
import type { CallTerms } from '../../parties/session/session.ts';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PictureFunctionKind, LocalTrust } from '../../policies/model.ts';

/** A model, a picture, and how it is spoken of. */
export interface Subject {
  readonly name: string;
  readonly uses: PictureFunctionKind;
  readonly manifest: string;
  readonly onnx: Uint8Array;
  readonly picture: Uint8Array;
}

/** The folder of real vectors beside the repository, from source and from `dist` alike. */
export function vectorsFolder(): string | undefined {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  const vectors = process.env['ACCORD_VECTORS'] ?? join(folder, '..', 'shared', 'vectors');
  return existsSync(join(vectors, 'models')) ? vectors : undefined;
}

/** A detector of the vectors, with the manifest that the tests have for it. */
export function detector(vectors: string, model: string, name: string, picture: Uint8Array): Subject {
  return {
    name,
    uses: 'object-detection',
    manifest: readFileSync(join(import.meta.dirname, '..', 'vectors-manifests', `${model}.json`), 'utf8'),
    onnx: readFileSync(join(vectors, 'models', `${model}.onnx`)),
    picture,
  };
}

/** The picture of the published example: 5 aeroplanes. */
export function airShow(vectors: string): Uint8Array {
  return readFileSync(join(vectors, 'images', 'air-show.jpg'));
}

/** The examples' own model and picture: there on every clone. */
export function example(): Subject {
  const folder = join(import.meta.dirname, '..', '..', 'policies', 'examples', 'skin-lesion-screening');
  return {
    name: "the example's picture with the example's classifier",
    uses: 'image-classification',
    manifest: readFileSync(join(folder, 'manifest.json'), 'utf8'),
    onnx: readFileSync(join(folder, 'model.onnx')),
    picture: readFileSync(join(folder, 'inputs', 'alice-1.jpg')),
  };
}

const INPUT_BYTES = 8_388_608;
/** What `policyOf` says of calls, as far as it shows on the wire. */
export const CALL_TERMS: CallTerms = { input: { buckets: standardBuckets(INPUT_BYTES) }, release: { afterMs: 0 } };

/** The name of the one function of `policyOf`. */
export const FUNCTION = 'compute';

export const KEY_ARNS = {
  alice: 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001',
  bob: 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002',
} as const;

export const OUTPUT = { topK: 10, decimals: 3 } as const;

/** Both parties' anchors, in folders of this machine. */
export type AnchorFolders = Readonly<Record<keyof typeof KEY_ARNS, string>>;

/** Text of a policy: Bob's model, Alice may call it so often; spent calls in the anchors' folders, if there are any. */
export function policyOf(
  uses: PictureFunctionKind,
  calls: number,
  trust?: LocalTrust,
  folders?: AnchorFolders,
): string {
  return JSON.stringify({
    apiVersion: 'accord/v1',
    collaboration: 'bench',
    until: '2099-12-31',
    parties: {
      alice: { role: 'data-owner', kmsKeyArn: KEY_ARNS.alice },
      bob: { role: 'model-owner', kmsKeyArn: KEY_ARNS.bob },
    },
    functions: {
      [FUNCTION]: {
        uses,
        model: 'bob',
        calls: { alice: calls },
        input: { maxBytes: INPUT_BYTES },
        output: uses === 'object-detection' ? OUTPUT : { topK: 1, decimals: 2 },
        release: { afterMs: 0, padTo: 2_048 },
      },
    },
    ...(folders === undefined
      ? { anchors: 'none' }
      : {
          state: { seal: 'layered', order: ['alice', 'bob'] },
          anchors: { alice: { folder: folders.alice }, bob: { folder: folders.bob }, quorum: 2 },
        }),
    enclave: { memoryMiB: 512, cpus: 2 },
    ...(trust === undefined ? {} : { trust }),
  });
}
