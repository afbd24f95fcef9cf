/**
 * Inputs kept in the repository: `corpus/TARGET/NAME.seed`, small and of our own making, and `corpus/TARGET/found/`, one
 * for each fault that was mended. Real data beside the repository is used too, where it is there, and never copied.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const here = join(import.meta.dirname, 'corpus');
/** From the sources, and from the compiled tree. */
export const CORPUS: string = import.meta.filename.endsWith('.ts')
  ? here
  : join(import.meta.dirname, '..', '..', '..', 'test', 'fuzz', 'corpus');

const filesOf = (folder: string): readonly string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => join(folder, name))
        .sort()
    : [];

export interface KeptInput {
  readonly file: string;
  readonly bytes: Uint8Array;
}

export function foundInputs(target: string): readonly KeptInput[] {
  return filesOf(join(CORPUS, target, 'found')).map((file) => ({ file, bytes: read(file) }));
}

/** Seeds, found inputs, and real data of at most `maxBytes`. */
export function corpusOf(target: string, maxBytes: number): readonly Uint8Array[] {
  const own = filesOf(join(CORPUS, target)).map(read);
  const real = filesOf(realFolder(target))
    .filter((file) => statSync(file).size <= maxBytes)
    .map(read);
  return [...own, ...foundInputs(target).map(({ bytes }) => bytes), ...real];
}

const read = (file: string): Uint8Array => new Uint8Array(readFileSync(file));

const REAL: Readonly<Record<string, string>> = {
  attestation: 'attestation',
  cms: 'cms',
  eif: 'eif',
  onnx: 'models',
  picture: 'images',
};

function realFolder(target: string): string {
  const places = [
    process.env['ACCORD_VECTORS'],
    join(import.meta.dirname, '..', '..', '..', 'shared', 'vectors'),
    join(import.meta.dirname, '..', '..', '..', '..', 'shared', 'vectors'),
  ];
  const place = places.find((one) => one !== undefined && existsSync(join(one, 'attestation', 'index.json')));
  const name = REAL[target];
  return place === undefined || name === undefined ? '' : join(place, name);
}
