/** The validators are plain code, made at build time: the same each time, and fit for an enclave that makes none. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const generated = join(root, 'enclave', 'functions', 'generated', 'validators.js');

test('are up to date, and left alone when they are', () => {
  const before = statSync(generated).mtimeMs;
  execFileSync(process.execPath, [join(root, 'build', 'validators.mjs')]);
  expect(statSync(generated).mtimeMs).toBe(before);
});

test('come out the same when they are made again', () => {
  const folder = execFileSync(process.execPath, [join(root, 'build', 'validators.mjs'), '--print'], {
    encoding: 'utf8',
  });
  expect(folder).toBe(readFileSync(generated, 'utf8'));
});

test('need no code generation and load nothing', () => {
  const text = readFileSync(generated, 'utf8');
  expect(text).not.toMatch(/\brequire\(|\bimport\b|\bFunction\(|\beval\(|process\./);
  const script = `
    const v = await import(${JSON.stringify(pathToFileURL(generated).href)});
    const good = { labels: [{ label: 'a', score: 0.5 }] };
    console.log(v.imageClassificationOutput(good), v.imageClassificationOutput({ labels: 1 }), v.modelManifest({}));`;
  const args = ['--disallow-code-generation-from-strings', '--input-type=module', '-e', script];
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' }).trim()).toBe('true false false');
});
