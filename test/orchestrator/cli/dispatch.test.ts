import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { dispatch, Interrupted } from '../../../orchestrator/cli/dispatch.ts';
import type { Program } from '../../../orchestrator/cli/dispatch.ts';
import type { Io, Verb } from '../../../parties/cli/verb.ts';
import { Failure } from '../../../policies/failure.ts';
import type { FailureKind } from '../../../policies/failure.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line on a program whose one interesting verb, `probe`, does what it is told. */
async function run(
  argv: readonly string[],
  probe: Verb['run'] = async () => 0,
  options: { readonly env?: Record<string, string>; readonly controller?: AbortController } = {},
): Promise<Ran> {
  let [out, err] = ['', ''];
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    env: options.env ?? {},
    cwd: '/',
    signal: (options.controller ?? new AbortController()).signal,
    interactive: false,
    stdin: () => Readable.from([]),
  };
  const verb: Verb = { help: 'usage: accord probe [--json]', run: probe };
  const program: Program = {
    version: '1.2.3',
    verbs: [
      { name: 'probe', summary: 'does as it is told', load: async () => verb },
      { name: 'explode', summary: 'cannot be loaded', load: () => Promise.reject(new Error('no such module')) },
    ],
  };
  return { code: await dispatch(argv, io, program), out, err };
}

const failing =
  (error: unknown): Verb['run'] =>
  async () => {
    throw error;
  };

describe('dispatch', () => {
  it('hands a verb its arguments, and its exit code back', async () => {
    let got: readonly string[] = [];
    const ran = await run(['probe', 'a', '--b', '--', '--help'], async (argv, io) => {
      got = argv;
      io.out('result\n');
      return 10;
    });
    expect(ran).toEqual({ code: 10, out: 'result\n', err: '' });
    expect(got).toEqual(['a', '--b', '--', '--help']);
  });

  it('shows help and version without loading any verb', async () => {
    for (const argv of [['help'], ['--help'], ['-h']]) {
      const { code, out, err } = await run(argv);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('probe    does as it is told');
      expect(out).toContain('explode  cannot be loaded');
    }
    for (const argv of [['--version'], ['-V'], ['version']])
      expect(await run(argv)).toEqual({ code: 0, out: '1.2.3\n', err: '' });
    for (const argv of [
      ['help', 'probe'],
      ['probe', '--help'],
      ['probe', 'x', '-h'],
    ]) {
      expect(await run(argv)).toEqual({ code: 0, out: 'usage: accord probe [--json]\n', err: '' });
    }
  });

  it('takes no verb, or one that is not there, as a usage error', async () => {
    const none = await run([]);
    expect(none).toMatchObject({ code: 2, out: '' });
    expect(none.err).toContain('usage: accord VERB');
    expect(await run(['prove'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean "accord probe"?'),
    });
    expect(await run(['xyzzyx'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('accord help lists the verbs'),
    });
    expect(await run(['help', 'prove'])).toMatchObject({ code: 2 });
    expect(JSON.parse((await run(['prove', '--json'])).out)).toMatchObject({ error: { code: 'cli/unknown-verb' } });
  });

  it('gives every kind of failure its exit code, in words or as JSON', async () => {
    const codes: Readonly<Record<FailureKind, number>> = {
      usage: 2,
      refused: 10,
      unsupported: 20,
      malformed: 30,
      environment: 40,
    };
    for (const kind of ['usage', 'refused', 'unsupported', 'malformed', 'environment'] as const) {
      const failure = new Failure(kind, 'a/b', 'it is wrong', { where: 'line 7', hint: 'mend it' });
      const words = await run(['probe'], failing(failure));
      expect(words).toEqual({
        code: codes[kind],
        out: '',
        err: 'accord: it is wrong\n  where: line 7\n  hint: mend it\n  (a/b)\n',
      });
      const json = await run(['probe', '--json'], failing(failure));
      expect(json).toMatchObject({ code: codes[kind], err: '' });
      expect(JSON.parse(json.out)).toEqual({
        error: { code: 'a/b', message: 'it is wrong', where: 'line 7', hint: 'mend it' },
      });
    }
    expect((await run(['probe', '--', '--json'], failing(new Failure('usage', 'a/b', 'no')))).out).toBe('');
  });

  it('lets nothing that it quotes reach the terminal as more than text', async () => {
    const hostile = 'a\u001B[2Jb\u009B31mc\u202Edcba\re';
    const failure = new Failure('malformed', 'a/b', `two\nlines: ${hostile}`, { where: hostile, hint: hostile });
    const { err } = await run(['probe'], failing(failure));
    // oxlint-disable-next-line no-control-regex -- the very thing that is looked for
    expect(err).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202E]/);
    expect(err).toContain('accord: two\nlines: a?[2Jb?31mc?dcba?e\n');
    const bug = await run(['probe'], failing(new Error(hostile)));
    expect(bug.err).toContain('a?[2Jb?31mc?dcba?e');
    const json = await run(['probe', '--json'], failing(failure));
    expect(json.out).toMatch(/^[\u0020-\u007E]*\n$/);
    expect(JSON.parse(json.out)).toMatchObject({ error: { where: hostile, hint: hostile } });
    const result = await run(['probe', '--json'], async (_, io) => {
      io.out(`${JSON.stringify({ hostile })}\n`);
      return 0;
    });
    expect(result.out).toMatch(/^[\u0020-\u007E]*\n$/);
    expect(JSON.parse(result.out)).toEqual({ hostile });
  });

  it('shows no stack of an unexpected error unless it is asked for', async () => {
    const bug = new TypeError('x is not a function');
    const plain = await run(['probe'], failing(bug));
    expect(plain).toMatchObject({ code: 1, out: '' });
    expect(plain.err).toContain('x is not a function');
    expect(plain.err).not.toContain('    at ');
    expect((await run(['probe'], failing(bug), { env: { ACCORD_DEBUG: '1' } })).err).toContain('    at ');
    expect(JSON.parse((await run(['probe', '--json'], failing(bug))).out)).toMatchObject({ error: { code: 'bug' } });
    expect(await run(['probe'], failing('a string'))).toMatchObject({ code: 1 });
    expect(await run(['explode'])).toMatchObject({ code: 1, err: expect.stringContaining('no such module') });
  });

  it('tells an interruption from a failure, whatever the verb made of it', async () => {
    for (const error of [
      new Interrupted(),
      new DOMException('x', 'AbortError'),
      new Failure('environment', 'a/b', 'cut'),
    ]) {
      const controller = new AbortController();
      controller.abort(new Interrupted());
      expect(await run(['probe'], failing(error), { controller })).toEqual({
        code: 130,
        out: '',
        err: 'accord: interrupted\n',
      });
    }
  });
});
