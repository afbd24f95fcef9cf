/** The targets by name; each is loaded when it is wanted, with what it needs. */
import type { Target } from './target.ts';

type Open = () => Promise<Target>;

export type TargetName =
  | 'frame'
  | 'cbor'
  | 'entry'
  | 'record'
  | 'canonical'
  | 'policy'
  | 'manifest'
  | 'onnx'
  | 'tree'
  | 'tree-record'
  | 'cms'
  | 'attestation'
  | 'eif'
  | 'tar'
  | 'picture'
  | 'kms'
  | 's3'
  | 'api';

const OPENERS: Readonly<Record<TargetName, Open>> = {
  frame: async () => (await import('./targets/frame.ts')).open(),
  cbor: async () => (await import('./targets/cbor.ts')).open(),
  entry: async () => (await import('./targets/entry.ts')).open(),
  record: async () => (await import('./targets/record.ts')).open(),
  canonical: async () => (await import('./targets/canonical.ts')).open(),
  policy: async () => (await import('./targets/policy.ts')).open(),
  manifest: async () => (await import('./targets/manifest.ts')).open(),
  onnx: async () => (await import('./targets/onnx.ts')).open(),
  tree: async () => (await import('./targets/tree.ts')).open(),
  'tree-record': async () => (await import('./targets/tree-record.ts')).open(),
  cms: async () => (await import('./targets/cms.ts')).open(),
  attestation: async () => (await import('./targets/attestation.ts')).open(),
  eif: async () => (await import('./targets/eif.ts')).open(),
  tar: async () => (await import('./targets/tar.ts')).open(),
  picture: async () => (await import('./targets/picture.ts')).open(),
  kms: async () => (await import('./targets/kms.ts')).open(),
  s3: async () => (await import('./targets/s3.ts')).open(),
  api: async () => (await import('./targets/api.ts')).open(),
};

export const TARGET_NAMES: readonly TargetName[] = Object.keys(OPENERS).filter(isTargetName);

export function isTargetName(name: string): name is TargetName {
  return Object.hasOwn(OPENERS, name);
}

export function openTarget(name: string): Promise<Target> {
  if (!isTargetName(name)) throw new RangeError(`there is no target ${name}`);
  return OPENERS[name]();
}
