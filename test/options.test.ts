/** How fuzz, timing, faults and bench answer a slip: a line, the exit code of a wrong call, and no stack trace. */
import { spawnSync } from 'node:child_process';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';

const SUBJECT = `
import { readOptions } from ${JSON.stringify(join(import.meta.dirname, 'options.ts'))};
const { values, number } = readOptions('fuzz', 'how to ask\\n', { seconds: { type: 'string', default: '30' } });
console.log(number('seconds', values.seconds, { least: 1, most: 900, whole: true }));
`;

let folder: string;
let program: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'accord-options-'));
  program = join(folder, 'subject.mjs');
  const source = join(folder, 'subject.ts');
  writeFileSync(source, SUBJECT);
  await build({ entryPoints: [source], outfile: program, bundle: true, platform: 'node', format: 'esm' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (
  ...argv: readonly string[]
): { readonly status: number | null; readonly out: string; readonly err: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...argv], { encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
};

test('takes what is right, and says how to ask', () => {
  expect(run()).toEqual({ status: 0, out: '30\n', err: '' });
  expect(run('--seconds', '900')).toEqual({ status: 0, out: '900\n', err: '' });
  expect(run('--help')).toEqual({ status: 0, out: 'how to ask\n', err: '' });
});

test.each<readonly [what: string, argv: readonly string[], said: RegExp]>([
  ['an option that there is not', ['--nosuch'], /^fuzz: Unknown option '--nosuch'; see npm run fuzz -- --help\n$/],
  ['an argument that belongs to none', ['tree'], /^fuzz: Unexpected argument 'tree'/],
  ['an option without a value', ['--seconds'], /^fuzz: Option '--seconds <value>' argument missing/],
  ['a value that begins with a dash', ['--seconds', '-1'], /^fuzz: Option '--seconds' argument is ambiguous/],
  ['no number', ['--seconds', 'abc'], /^fuzz: --seconds takes a whole number from 1 to 900, not "abc"/],
  ['nothing', ['--seconds', ''], /not ""/],
  ['too little', ['--seconds', '0'], /not "0"/],
  ['too much', ['--seconds', '901'], /not "901"/],
  ['a fraction', ['--seconds', '1.5'], /not "1\.5"/],
])('%s', (_, argv, said) => {
  const { status, out, err } = run(...argv);
  expect({ status, out }).toEqual({ status: 2, out: '' });
  expect(err).toMatch(said);
  expect(err).not.toMatch(/^\s+at /m);
});
