/** Policies with faults: each is found where it stands, with what to write instead, and all of them at once. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BOUNDS } from '../../policies/bounds.ts';
import type { PolicyCode } from '../../policies/fault.ts';
import { MOST_FAULTS, PolicyFailure } from '../../policies/fault.ts';
import { loadPolicy, loadTrust } from '../../policies/load.ts';
import { accord, ALICE, BOB, DURABLE, faultsOf, GOOD, LOCAL_TRUST, written } from './written.ts';

type Bad = readonly [
  what: string,
  text: string,
  code: PolicyCode,
  path: string,
  place: readonly [line: number, column: number],
  hint: RegExp,
];

const arn = (other: string): string => written(ALICE, other);
const calls = (other: string): string => written('alice: 3', `alice: ${other}`);
const KEY = 'parties.alice.kmsKeyArn';
const CALLS = 'functions.classify.calls.alice';
const ARN_AT = [7, 16] as const;
const CALLS_AT = [16, 14] as const;

const trust = {
  attestationRoot: 'a1'.repeat(32),
  tlsRoots: ['b2'.repeat(32)],
  endpoints: { kms: 'https://kms.test', sts: 'https://sts.test', s3: 'https://s3.test' },
};

const SYNTAX: readonly Bad[] = [
  ['a tab', written('  alice:', '\talice:'), 'policy/syntax', '', [5, 1], /spaces/],
  ['a quote left open', written('anchors: none', 'anchors: "none'), 'policy/syntax', '', [19, 1], /quote/],
  [
    'a key twice',
    written('  bob:\n    role', '  alice:\n    role'),
    'policy/duplicate-key',
    'parties.alice',
    [8, 3],
    /one of the two/,
  ],
  [
    'an alias',
    written('bob: 2', 'bob: *n'),
    'policy/alias',
    'functions.classify.calls.bob',
    [17, 12],
    /write the value out/,
  ],
  ['an anchor', calls('&n 3'), 'policy/alias', CALLS, [16, 17], /write the value out/],
  ['a tag', calls('!!int 3'), 'policy/tag', CALLS, [16, 20], /remove the tag/],
  ['a second document', `${GOOD}---\na: 1\n`, 'policy/multiple-documents', '', [19, 1], /---/],
  ['nothing', '# nothing\n', 'policy/empty', '', [1, 1], /example/],
];

const STRUCTURE: readonly Bad[] = [
  ['an unknown key', `${GOOD}quotas: 3\n`, 'policy/unknown-key', 'quotas', [19, 1], /known keys here/],
  ['a misspelt key', written('anchors:', 'anchor:'), 'policy/unknown-key', 'anchor', [18, 1], /did you mean anchors\?/],
  ['a key in the wrong place', `${GOOD}topK: 1\n`, 'policy/unknown-key', 'topK', [19, 1], /belongs in functions/],
  ['a missing key', written('until: 2027-06-30\n', ''), 'policy/missing-key', '', [1, 1], /until: Last day/],
  ['a negative quota', calls('-1'), 'policy/out-of-range', CALLS, CALLS_AT, /from 0 to 1000000/],
  ['a fractional quota', calls('2.5'), 'policy/out-of-range', CALLS, CALLS_AT, /whole number/],
  ['a quota with a point', calls('3.0'), 'policy/out-of-range', CALLS, CALLS_AT, /whole number/],
  ['a quota in hex', calls('0x10'), 'policy/out-of-range', CALLS, CALLS_AT, /whole number/],
  ['an enormous quota', calls('1000001'), 'policy/out-of-range', CALLS, CALLS_AT, /from 0 to 1000000/],
  ['a quota in quotes', calls("'3'"), 'policy/wrong-type', CALLS, CALLS_AT, /quotes out/],
  ['no quota', calls(''), 'policy/wrong-type', CALLS, CALLS_AT, /whole number/],
  ['a quota that is none', calls('.inf'), 'policy/bad-value', CALLS, CALLS_AT, /finite/],
  ['a day that is not', written('06-30', '06-31'), 'policy/bad-date', 'until', [3, 8], /a day that exists/],
  ['a name in capitals', written('  bob:\n', '  Bob:\n'), 'policy/bad-name', 'parties.Bob', [8, 3], /lower-case/],
];

const MEANING: readonly Bad[] = [
  ['a malformed ARN', arn('arn:aws:kms:eu-west-1:1:key/x'), 'policy/bad-arn', KEY, ARN_AT, /full key ARN looks like/],
  ['a key id alone', arn('1234abcd-12ab-34cd-56ef-1234567890ab'), 'policy/bad-arn', KEY, ARN_AT, /full key ARN/],
  ['a key of S3', arn(ALICE.replace(':kms:', ':s3:')), 'policy/bad-arn', KEY, ARN_AT, /full key ARN/],
  ['a key in no Region', arn(ALICE.replace('eu-west-1', 'mars-1')), 'policy/bad-arn', KEY, ARN_AT, /full key ARN/],
  [
    'a Region of another partition',
    arn(ALICE.replace('eu-west-1', 'cn-north-1')),
    'policy/bad-arn',
    KEY,
    ARN_AT,
    /full key ARN/,
  ],
  ['an upper-case key id', arn(ALICE.replace('a11ce', 'A11CE')), 'policy/bad-arn', KEY, ARN_AT, /full key ARN/],
  ['an alias', arn('alias/mine'), 'policy/arn-alias', KEY, ARN_AT, /describe-key/],
  [
    'an alias by its ARN',
    arn('arn:aws:kms:eu-west-1:111122223333:alias/mine'),
    'policy/arn-alias',
    KEY,
    ARN_AT,
    /describe-key/,
  ],
  [
    'a multi-Region key',
    arn('arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab'),
    'policy/arn-multi-region',
    KEY,
    ARN_AT,
    /without --multi-region/,
  ],
  ['one key for two', written(BOB, ALICE), 'policy/duplicate-arn', 'parties.bob.kmsKeyArn', [9, 5], /key of its own/],
  [
    'a model of a party that does not exist',
    written('model: bob', 'model: bobb'),
    'policy/unknown-party',
    'functions.classify.model',
    [14, 12],
    /did you mean bob\?/,
  ],
  [
    'calls of a party that does not exist',
    written('bob: 2', 'eve: 2'),
    'policy/unknown-party',
    'functions.classify.calls.eve',
    [17, 7],
    /the parties are: alice, bob/,
  ],
  [
    'a padding that would show the length of answers',
    written('    calls:', '    output: { topK: 100 }\n    release: { padTo: 1KiB }\n    calls:'),
    'policy/pad-too-small',
    'functions.classify.release.padTo',
    [16, 23],
    /16KiB/,
  ],
];

const LATER: readonly Bad[] = [
  [
    'another way to authenticate',
    written('    calls:', '    auth: passkey\n    calls:'),
    'policy/unsupported',
    'functions.classify.auth',
    [15, 5],
    /remove auth/,
  ],
  [
    'another kind of function',
    written('image-classification', 'train'),
    'policy/unsupported',
    'functions.classify.uses',
    [13, 11],
    /./,
  ],
];

test('the policy that the faults are put into has none', async () => {
  expect(faultsOf(GOOD)).toEqual([]);
  expect(await accord(['check', '-'], GOOD)).toMatchObject({ code: 0, err: '' });
});

describe.each([
  ['malformed, exit 30', 30, [...SYNTAX, ...STRUCTURE, ...MEANING]],
  ['not done by this version, exit 20', 20, LATER],
] as const)('%s', (_, exit, table) => {
  test.each(table)('%s', async (_what, text, code, path, [line, column], hint) => {
    const fault = faultsOf(text)[0];
    expect(fault).toMatchObject({ file: 'policy.yaml', code, path, line, column });
    expect(fault?.hint).toMatch(hint);
    expect(fault?.message).not.toBe('');
    const { code: exitCode, out, err } = await accord(['check', '-'], text);
    expect({ exitCode, out }).toEqual({ exitCode: exit, out: '' });
    expect(err).toContain(`-:${line}:${column}  ${path === '' ? '' : `${path}: `}${fault?.message}`);
    expect(err).toContain(`    ${fault?.hint}`);
  });
});

describe('many faults', () => {
  const many = [
    ['06-30', '06-31'],
    [ALICE, 'alias/mine'],
    ['model: bob', 'model: bobb'],
    ['alice: 3', 'alice: -3'],
    ['bob: 2', 'bob: 2.5'],
  ].reduce((text, [part = '', other = '']) => text.replace(part, other), GOOD);
  const codes = [
    'policy/bad-date',
    'policy/arn-alias',
    'policy/unknown-party',
    'policy/out-of-range',
    'policy/out-of-range',
  ];

  test('are told at once, in the order in which they stand', async () => {
    expect(faultsOf(many).map(({ code }) => code)).toEqual(codes);
    const { code, err } = await accord(['check', '-'], many);
    expect(code).toBe(30);
    expect(err).toContain('5 faults in the policy');
    expect([...err.matchAll(/^-:(\d+):/gm)].map(([, line]) => Number(line))).toEqual([3, 7, 14, 16, 17]);
  });

  test('as JSON, each with its path, place and hint', async () => {
    const { code, out, err } = await accord(['check', '-', '--json'], many);
    expect({ code, err }).toEqual({ code: 30, err: '' });
    const outcome = JSON.parse(out);
    expect(outcome).toMatchObject({ valid: false, error: { code: 'policy/bad-date' } });
    expect(outcome.faults).toHaveLength(5);
    for (const fault of outcome.faults) {
      expect(fault).toMatchObject({ file: '-', hint: expect.any(String), path: expect.stringMatching(/./) });
      expect(fault.line).toBeGreaterThan(0);
      expect(fault.column).toBeGreaterThan(0);
    }
  });

  test('one that is malformed outweighs those that are for later', () => {
    const later = written('    calls:', '    auth: passkey\n    calls:');
    const mixed = later.replace('alice: 3', 'alice: -3');
    expect(() => loadPolicy(mixed, { file: 'p' })).toThrow(expect.objectContaining({ kind: 'malformed' }));
    expect(() => loadPolicy(later, { file: 'p' })).toThrow(expect.objectContaining({ kind: 'unsupported' }));
  });
});

describe('characters that are not seen', () => {
  const HIDDEN = [
    ['a carriage return that takes the line back', '\r'],
    ['an escape sequence', '\u001b[8m'],
    ['a form feed', '\f'],
    ['the next line of EBCDIC', '\u0085'],
    ['a line separator', '\u2028'],
    ['a paragraph separator', '\u2029'],
    ['an override of the writing direction', '\u202e'],
    ['an isolate', '\u2066'],
    ['a soft hyphen', '\u00ad'],
    ['a space of no width', '\u200b'],
    ['a byte order mark in the middle', '\ufeff'],
    ['a letter of a tag', '\u{e0041}'],
    ['a filler', '\u3164'],
    ['a variation selector', '\u{e0100}'],
    ['braille without a dot', '\u2800'],
    ['nothing', '\0'],
  ] as const;

  test.each(HIDDEN)('%s is refused in a comment, and told where', (_, hidden) => {
    const code = (hidden.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    expect(faultsOf(written('alice: 3', `alice: 3 # one${hidden}      alice: 1 #`))).toEqual([
      {
        file: 'policy.yaml',
        line: 16,
        column: 21,
        path: '',
        code: 'policy/hidden-character',
        message: expect.stringContaining(`U+${code} `),
        hint: expect.any(String),
      },
    ]);
  });

  test('are refused in parts and in trust files too', () => {
    const hidden = expect.objectContaining({ code: 'policy/hidden-character' });
    const compose = [{ file: 'part.yaml', text: '# \u2028\nanchors: none\n' }];
    expect(() => loadPolicy(written('anchors: none\n', ''), { file: 'policy.yaml', compose })).toThrow(hidden);
    expect(() => loadTrust(`${JSON.stringify(trust)} # \u202e`, 'trust.json')).toThrow(hidden);
  });

  test('are told of all at once, up to a hundred', () => {
    expect(faultsOf(`# \u2028\n# \u202e\n${GOOD}`).map(({ line }) => line)).toEqual([1, 2]);
    expect(faultsOf('\u2028'.repeat(2_000))).toHaveLength(MOST_FAULTS);
  });

  test('are none of those that every editor writes', () => {
    expect(faultsOf(`\ufeff# caf\u00e9\t\u{1f600}\n${GOOD}`.replaceAll('\n', '\r\n'))).toEqual([]);
  });
});

describe('texts that are no policy', () => {
  test.each([
    ['too long', `# ${'x'.repeat(BOUNDS.textBytes)}`, 'policy/too-large'],
    ['too deep', '['.repeat(5_000), 'policy/too-deep'],
    ['too deep, and then back at once', `${'? '.repeat(9_000)}\na: 1`, 'policy/too-deep'],
    ['too deep in lists', `${'- '.repeat(9_000)}\na: 1`, 'policy/too-deep'],
    ['JSON of something else', '[1, 2, 3]', 'policy/wrong-type'],
    ['a word', 'policy', 'policy/wrong-type'],
  ] as const)('%s', (_, text, code) => {
    expect(faultsOf(text)[0]).toMatchObject({ code });
  });

  test('that are not UTF-8, and files that are not there', async () => {
    expect(await accord(['check', 'nothing.yaml'])).toMatchObject({ code: 2 });
    expect(await accord(['check', '.'])).toMatchObject({ code: 2 });
  });

  test('any text gives a policy or faults, never another error', () => {
    const ofLines = (text: string): fc.Arbitrary<string> =>
      fc.shuffledSubarray(text.split('\n')).map((some) => some.join('\n'));
    const without = fc.subarray((DURABLE + LOCAL_TRUST).split('\n')).map((some) => some.join('\n'));
    const shuffled = fc.oneof(ofLines(GOOD), ofLines(DURABLE), without);
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 200 }), shuffled), (text) => {
        try {
          loadPolicy(text, { file: 'p' });
        } catch (error) {
          expect(error).toBeInstanceOf(PolicyFailure);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('of a text of nothing but faults the first are told, and the text is not read to its end', () => {
    for (const mark of [']', '?\n', ': ', 'a:\n', '*a\n', '@\n']) {
      const failure = faultOf(mark.repeat(Math.floor(BOUNDS.textBytes / mark.length)));
      expect(failure.faults.length, mark).toBeLessThanOrEqual(MOST_FAULTS);
      expect(failure.message.length, mark).toBeLessThan(65_536);
    }
    const { message, faults } = faultOf('?\n'.repeat(2_000));
    expect(faults).toHaveLength(MOST_FAULTS);
    expect(message).toMatch(/^\d{4} faults in the policy, of which the first 100 are\n/);
  });
});

function faultOf(text: string): PolicyFailure {
  try {
    loadPolicy(text, { file: 'p' });
  } catch (error) {
    if (error instanceof PolicyFailure) return error;
    throw error;
  }
  throw new Error('it was taken');
}
