/** Each claim of the threat model names what shows it: files of tests that are there, chapters that the demo tells. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './sources.ts';

const text = readFileSync(join(ROOT, 'docs', 'threat-model.md'), 'utf8');
const claims = text.split('\n').filter((line) => /^\| \d+ \|/.test(line));

test.each(claims.map((row) => [/^\| (\d+) \| ([^|]*) \|/.exec(row)?.[2] ?? '', row.split('|').at(-2) ?? '']))(
  '%s',
  (_, shownBy) => {
    const files = [...shownBy.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');
    expect(files).not.toEqual([]);
    for (const file of files) {
      expect(file).toMatch(/^test\/.*\.test\.ts$/);
      expect(existsSync(join(ROOT, file)), file).toBe(true);
    }
    const told = readdirSync(join(ROOT, 'orchestrator', 'demo'))
      .map((file) => readFileSync(join(ROOT, 'orchestrator', 'demo', file), 'utf8'))
      .join('\n');
    for (const [, title] of shownBy.matchAll(/demo "([^"]+)"/g)) {
      expect(told, title).toMatch(new RegExp(`chapter\\(['"]${title}['":]`));
    }
  },
);

test('there are claims', () => {
  expect(claims.length).toBeGreaterThan(10);
});
