/** The kernel's module is what its source compiles to, the same bytes each time. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..', '..');

test('the module in place is the one that is made again', { timeout: 120_000 }, () => {
  const made = execFileSync(process.execPath, [join(root, 'build', 'tree-kernel.mjs'), '--print'], {
    encoding: 'utf8',
  });
  expect(made).toBe(readFileSync(join(root, 'enclave', 'functions', 'generated', 'tree-kernel.js'), 'utf8'));
});
