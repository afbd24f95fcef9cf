import { expect, it } from 'vitest';
import { verb as anchor } from '../../../parties/cli/anchor.ts';
import { verb as init } from '../../../parties/cli/init.ts';
import { readArguments, readKeyArn, readNumber, readTime } from '../../../parties/cli/arguments.ts';
import { runVerb } from './run-verb.ts';

const OPTIONS = { trust: { type: 'string' }, json: { type: 'boolean', default: false } } as const;

it('are what the verb declared', () => {
  const { values, positionals } = readArguments('v', ['P', '--trust', 'F', '--json'], OPTIONS, ['POLICY']);
  expect({ ...values, positionals }).toEqual({ trust: 'F', json: true, positionals: ['P'] });
  expect(readArguments('v', ['a', 'b', 'c'], OPTIONS, 'any').positionals).toEqual(['a', 'b', 'c']);
});

it('that are not are usage errors, in one sentence', () => {
  for (const [argv, accept, message] of [
    [['--what'], [], /Unknown option '--what'/],
    [['--trust'], [], /--trust/],
    [[], ['POLICY'], /POLICY is missing/],
    [['a', 'b'], ['POLICY'], /"b" is one argument too many/],
    [['--json=1'], [], /--json/],
  ] as const) {
    expect(() => readArguments('v', argv, OPTIONS, accept)).toThrow(
      expect.objectContaining({ kind: 'usage', code: 'cli/arguments', message: expect.stringMatching(message) }),
    );
  }
});

it('read numbers as numbers and nothing else', () => {
  expect(readNumber('v', 'port', '0', 65_535)).toBe(0);
  expect(readNumber('v', 'port', '65535', 65_535)).toBe(65_535);
  for (const text of ['', '-1', '1.5', '0x10', '65536', '1e3', ' 1', '99999999999']) {
    expect(() => readNumber('v', 'port', text, 65_535), text).toThrow('--port takes a whole number');
  }
});

it('name the true bounds of a number', () => {
  for (const text of ['0', '9', 'two']) {
    expect(() => readNumber('v', 'copies', text, 8, 1), text).toThrow(
      `--copies takes a whole number from 1 to 8, not "${text}"`,
    );
  }
});

it('read the key as a full ARN, and say what they were given in place of one', () => {
  const arn = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
  expect(readKeyArn('v', arn)).toBe(arn);
  for (const [text, message] of [
    ['KEY', '--key takes the full ARN of a KMS key, not "KEY": this is not a full ARN'],
    ['alias/mine', '--key takes the full ARN of a KMS key, not "alias/mine": this is an alias'],
    [undefined, '--key ARN is missing'],
  ] as const) {
    expect(() => readKeyArn('v', text)).toThrow(
      expect.objectContaining({ kind: 'usage', code: 'cli/arguments', message: expect.stringContaining(message) }),
    );
  }
});

it('tell a slip in `accord init --key` from a fault of a policy', async () => {
  const place = ['--orchestrator', 'http://127.0.0.1:1', '--collaboration', 'x', '--measurements', 'm.json'];
  const { code, err } = await runVerb('init', init, ['--party', 'alice', '--key', 'KEY', ...place], { cwd: '/' });
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('--key takes the full ARN') });
});

it('read times that mean the same on each machine, and nothing else', () => {
  expect(readTime('v', '2027-06-30').toISOString()).toBe('2027-06-30T00:00:00.000Z');
  expect(readTime('v', '2027-06-30T12:00+02:00').toISOString()).toBe('2027-06-30T10:00:00.000Z');
  expect(readTime('v', '2027-06-30T12:00:00.5Z').toISOString()).toBe('2027-06-30T12:00:00.500Z');
  for (const text of ['', '2027-06-30T12:00:00', '2027-06-30 12:00Z', '2027-02-30', '2027-13-01', 'tomorrow', '0']) {
    expect(() => readTime('v', text), text).toThrow('--at takes a time with its zone');
  }
});

it('of anchor name files or a home, not both', async () => {
  const done = await runVerb('anchor', anchor, ['make', 'policy.yaml', '--party', 'alice', '--home', 'alices'], {
    cwd: '.',
  });
  expect(done).toMatchObject({ code: 2, err: expect.stringContaining('files or from a home') });
});
