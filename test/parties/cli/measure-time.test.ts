/** `accord measure-time`, and what `accord check` makes of its figures. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { MAX_PIXELS } from '../../../enclave/functions/picture.ts';
import { verb as check } from '../../../parties/cli/check.ts';
import { verb } from '../../../parties/cli/measure-time.ts';
import { recommended, timesOf } from '../../../parties/measure-time/rounds.ts';
import { worstPicture } from '../../../parties/measure-time/worst-input.ts';
import { runVerb } from './run-verb.ts';
import type { Outcome } from './run-verb.ts';

const examples = join(import.meta.dirname, '..', '..', '..', 'policies', 'examples');
const example = join(examples, 'skin-lesion-screening');
const policyText = readFileSync(join(example, 'policy.yaml'), 'utf8');
const files = ['--model', join(example, 'model.onnx'), '--manifest', join(example, 'manifest.json')];

const cwd = mkdtempSync(join(tmpdir(), 'accord-measure-time-test-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
const place = { cwd, env: { XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? '', HOME: process.env['HOME'] ?? '' } };

function written(name: string, text: string): string {
  writeFileSync(join(cwd, name), text);
  return name;
}

const measure = (argv: readonly string[]): Promise<Outcome> => runVerb('measure-time', verb, argv, place);
const leftovers = (): readonly string[] =>
  readdirSync(tmpdir()).filter((name) => /^accord-measure-time-(?!test)/.test(name));

describe('called wrongly', () => {
  const counter = 'uses: counter\n    calls: { alice: 1 }';
  test.each([
    ['without a policy', [], /POLICY is missing/],
    ['without a model', ['p.yaml'], /--model and --manifest are missing.*bob, who owns it, measures/],
    ['with half a model', ['p.yaml', '--model', 'm.onnx'], /go together/],
    ['for a function that is not there', ['p.yaml', '--function', 'guess', ...files], /guess is not in the policy; it has classify/], // prettier-ignore
    ['for a counter', ['c.yaml', '--function', 'tally'], /tally is a counter/],
    ['for counters alone', ['c.yaml'], /no function that computes with a model/],
    ['no calls', ['p.yaml', ...files, '--calls', '0'], /whole number from 1/],
    ['a file that is not there', ['p.yaml', '--model', 'none', '--manifest', 'none'], /there is no file none/],
    ['a file for a home', ['p.yaml', ...files, '--home', 'p.yaml'], /p\.yaml is a file/],
    ['with a misspelt option', ['p.yaml', '--modle', 'x'], /modle/],
  ])('%s', async (_, argv, said) => {
    written('p.yaml', policyText);
    written('c.yaml', policyText.replace(/ {2}classify:[^]*?\n\n/, `  tally:\n    ${counter}\n\n`));
    expect(await measure(argv)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(said) });
  });

  test('an input that the policy does not take, and a model that is not the pinned one', async () => {
    written('p.yaml', policyText);
    written('empty', '');
    expect(await measure(['p.yaml', ...files, '--input', 'empty'])).toMatchObject({ code: 30 });
    const noPicture = await measure(['p.yaml', ...files, '--input', 'p.yaml']);
    expect(noPicture).toMatchObject({ code: 30, err: expect.stringMatching(/p\.yaml does not begin like a JPEG/) });
    expect(noPicture.err).not.toMatch(/unpacking/);
    written('pinned.yaml', policyText.replace('model: bob', `model: { from: bob, sha256: ${'a'.repeat(64)} }`));
    expect(await measure(['pinned.yaml', ...files])).toMatchObject({ code: 10 });
  });

  test('sizes that no sample of ours fits: found before anything is built', async () => {
    const sizes = policyText.replace('maxBytes: 4MiB', 'maxBytes: 1000').replace('[64KiB, 4MiB]', '[1000]');
    written('small.yaml', sizes);
    const small = await measure(['small.yaml', ...files]);
    expect(small).toMatchObject({ code: 20, err: expect.stringMatching(/--input FILE/) });
    expect(small.err).not.toMatch(/unpacking/);
  });
});

test('the hardest picture of a size fits into it, can be read, and has as many pixels as may be', async () => {
  for (const [bytes, least] of [
    [1024, 100_000],
    [65_536, 15_000_000],
    [1_048_576, 0.99 * MAX_PIXELS],
  ] as const) {
    const picture = await worstPicture(bytes);
    expect(picture.length).toBeLessThanOrEqual(bytes);
    const { width, height, format } = await sharp(picture, { limitInputPixels: false }).metadata();
    expect(format).toBe('png');
    expect(width * height).toBeGreaterThan(least);
    expect(width * height).toBeLessThanOrEqual(MAX_PIXELS);
    await sharp(picture).resize(8, 8).toBuffer();
  }
}, 60_000);

test('percentiles, and a recommendation that is more than the slowest', () => {
  const took = Array.from({ length: 100 }, (_, index) => 100.2 - index);
  expect(timesOf(took)).toEqual({ calls: 100, p50Ms: 51, p99Ms: 100, maxMs: 101 });
  expect(recommended({ maxMs: 1 })).toBe(50);
  expect(recommended({ maxMs: 101 })).toBe(170);
  expect(recommended({ maxMs: 1001 })).toBe(1600);
});

describe('measured for real', () => {
  test('its own processes, both parties at once; check reads the figures', async () => {
    const soon = policyText.replace(/release:\n(?: +afterMs: \d+\n)?/, 'release:\n      afterMs: 5\n');
    expect(soon).toContain('afterMs: 5\n');
    written('p.yaml', soon);
    const before = leftovers();
    const input = join(example, 'inputs', 'alice-1.jpg');
    const ran = await measure(['p.yaml', ...files, '--input', input, '--calls', '2', '--home', 'home', '--json']);
    expect(ran.err).not.toMatch(/accord: /);
    const result: Readonly<Record<string, unknown>> = JSON.parse(ran.out);
    expect(ran.code).toBe(0);
    expect(result).toMatchObject({ function: 'classify', calls: 4, afterMs: 5, sizes: [{ calls: 4 }] });
    expect(Number(result['p50Ms'])).toBeGreaterThan(5);
    expect(leftovers()).toEqual(before);

    const judged = await runVerb('check', check, ['p.yaml', '--home', 'home', '--json'], place);
    const { weakenings, measured }: Readonly<Record<string, unknown>> = JSON.parse(judged.out);
    expect(weakenings).toContainEqual({ code: 'release-too-soon', text: expect.stringMatching(/leave 5 ms after/) });
    expect(measured).toMatchObject({ classify: { host: result['host'], p99Ms: result['p99Ms'] } });
    const said = await runVerb('check', check, ['p.yaml', '--home', 'home'], place);
    expect(said.out).toMatch(/classify: computes for \d+ ms \(median of 4 calls/);

    written('other.yaml', soon.replace('maxBytes: 4MiB', 'maxBytes: 2MiB').replace('[64KiB, 4MiB]', '[64KiB, 2MiB]'));
    const other = await runVerb('check', check, ['other.yaml', '--home', 'home'], place);
    expect(other.out).toMatch(/was not measured under these terms/);
    expect(other.out).not.toMatch(/release-too-soon/);
  }, 240_000);

  test('a file of figures that is damaged is told as such, and the policy is checked without it', async () => {
    written('p.yaml', policyText);
    written('measured-times.json', '{');
    const judged = await runVerb('check', check, ['p.yaml', '--home', '.'], place);
    expect(judged).toMatchObject({ code: 0, err: expect.stringMatching(/measured-times\.json is not JSON/) });
    expect(judged.err).toContain('delete the file');
    expect(judged.out).toContain('classify');
  });

  test('what the jails do not take is told with the file that it came from', async () => {
    written('p.yaml', policyText);
    writeFileSync(join(cwd, 'cut.jpg'), readFileSync(join(example, 'inputs', 'alice-1.jpg')).subarray(0, 2000));
    expect(await measure(['p.yaml', ...files, '--input', 'cut.jpg'])).toMatchObject({
      code: 30,
      err: expect.stringMatching(/cut\.jpg: the picture is damaged or cut off\n {2}hint: .*of at most 4194304 bytes/),
    });
    written('bad.onnx', 'no model');
    const manifest = join(example, 'manifest.json');
    expect(await measure(['p.yaml', '--model', 'bad.onnx', '--manifest', manifest])).toMatchObject({
      code: 30,
      err: expect.stringMatching(/where: bad\.onnx\n[^]*\(model\//),
    });
  }, 240_000);

  test('Ctrl-C ends it and leaves nothing', async () => {
    written('p.yaml', policyText);
    const before = leftovers();
    const interruption = new AbortController();
    const io = {
      out: () => {},
      // The first sign of life.
      err: () => interruption.abort(new Error('interrupted')),
      env: place.env,
      cwd,
      signal: interruption.signal,
      interactive: true,
      stdin: () => Readable.from([]),
    };
    await expect(verb.run(['p.yaml', ...files, '--calls', '1000'], io)).rejects.toThrow('interrupted');
    expect(leftovers()).toEqual(before);
  }, 120_000);
});
