/** The validators are plain code, made at build time: the same each time, and fit for an enclave that makes none. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const generated = join(root, 'enclave', 'functions', 'generated');
const make = (...args: readonly string[]): void =>
  void execFileSync(process.execPath, [join(root, 'build', 'validators.mjs'), ...args]);

const MODULES = [
  'counter-output',
  'decision-tree',
  'decision-tree-input',
  'decision-tree-output',
  'image-classification-output',
  'model-manifest',
  'object-detection-output',
  'picture',
] as const;
const textOf = (name: string): string => readFileSync(join(generated, `${name}.js`), 'utf8');

test('are up to date, and left alone when they are', () => {
  const times = (): readonly number[] => MODULES.map((name) => statSync(join(generated, `${name}.js`)).mtimeMs);
  const before = times();
  make();
  expect(times()).toEqual(before);
});

test('come out the same when they are made again', () => {
  const again = mkdtempSync(join(tmpdir(), 'accord-validators-'));
  try {
    make('--to', again);
    const files = readdirSync(again).sort();
    expect(files).toEqual(MODULES.flatMap((name) => [`${name}.d.ts`, `${name}.js`]).sort());
    for (const file of files) {
      expect(readFileSync(join(again, file), 'utf8'), file).toBe(readFileSync(join(generated, file), 'utf8'));
    }
  } finally {
    rmSync(again, { recursive: true });
  }
});

test('need no code generation and load nothing', () => {
  for (const name of MODULES) {
    expect(textOf(name), name).not.toMatch(/\brequire\(|\bimport\b|\bFunction\(|\beval\(|process\./);
  }
  const script = `
    const at = ${JSON.stringify(pathToFileURL(`${generated}/`).href)};
    const [output, manifest] = await Promise.all(
      ['image-classification-output', 'model-manifest'].map((name) => import(at + name + '.js')),
    );
    const good = { labels: [{ label: 'a', score: 0.5 }] };
    console.log(output.validate(good), output.validate({ labels: 1 }), manifest.validate({}));`;
  const args = ['--disallow-code-generation-from-strings', '--input-type=module', '-e', script];
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' }).trim()).toBe('true false false');
});
