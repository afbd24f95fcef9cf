/** Faults of anchors, state, succession and budgets: each where it stands, with what to write instead. */
import { describe, expect, test } from 'vitest';
import { BOUNDS } from '../../policies/bounds.ts';
import type { PolicyCode } from '../../policies/fault.ts';
import { accord, DURABLE, faultsOf, GOOD, LOCAL_TRUST, WITH_CAROL, written } from './written.ts';

type Bad = readonly [
  what: string,
  text: string,
  code: PolicyCode,
  path: string,
  place: readonly [line: number, column: number],
  hint: RegExp,
];

const durable = (part: string, other: string): string => written(part, other, DURABLE);
const bucket = (address: string): string => durable('s3://alice-anchor', address);
const BUCKET = 'anchors.alice.s3';
const BUCKET_AT = [19, 16] as const;
const DIGEST = 'ab'.repeat(48);
const three = (text: string): string => text.replace('functions:', WITH_CAROL);

const ANCHORS: readonly Bad[] = [
  ['no store', durable('{ s3: "s3://alice-anchor" }', '{}'), 'policy/bad-value', 'anchors.alice', [19, 10], /s3:\/\//],
  [
    'two stores',
    durable('"s3://alice-anchor"', '"s3://alice-anchor", folder: /a'),
    'policy/bad-value',
    'anchors.alice',
    [19, 10],
    /either|write \{ s3/,
  ],
  [
    'a Region without a bucket',
    durable('s3: "s3://alice-anchor"', 'region: eu-west-1'),
    'policy/bad-value',
    'anchors.alice',
    [19, 10],
    /region/,
  ],
  [
    'a store as text',
    durable('{ s3: "s3://alice-anchor" }', 's3://alice-anchor'),
    'policy/wrong-type',
    'anchors.alice',
    [19, 10],
    /./,
  ],
  [
    'an unknown party',
    durable('  bob: { s3', '  bobb: { s3'),
    'policy/unknown-party',
    'anchors.bobb',
    [20, 3],
    /did you mean bob\?/,
  ],
  [
    'an unknown key',
    durable('{ s3: "s3://alice', '{ s3s: "s3://alice'),
    'policy/unknown-key',
    'anchors.alice.s3s',
    [19, 12],
    /did you mean s3\?/,
  ],
  [
    'no party',
    durable('  alice: { s3: "s3://alice-anchor" }\n  bob: { s3: "s3://bob-anchor", region: eu-north-1 }\n', ''),
    'policy/out-of-range',
    'anchors',
    [19, 3],
    /anchors: none/,
  ],
  [
    'a word',
    durable(DURABLE.slice(DURABLE.indexOf('anchors:'), DURABLE.indexOf('state:')), 'anchors: some\n'),
    'policy/bad-value',
    'anchors',
    [18, 10],
    /none/,
  ],
  [
    'one store twice',
    durable('s3://bob-anchor', 's3://alice-anchor/accord'),
    'policy/duplicate-anchor',
    'anchors.bob',
    [20, 8],
    /store of its own/,
  ],
  ['a quorum of half', durable('quorum: 2', 'quorum: 1'), 'policy/out-of-range', 'anchors.quorum', [21, 11], /write 2/],
  [
    'a quorum of half of four',
    three(durable('quorum: 2', 'carol: { s3: "s3://carol-anchor" }\n  quorum: 1')).replace(
      '[bob, alice]',
      '[bob, alice, carol]',
    ),
    'policy/out-of-range',
    'anchors.quorum',
    [25, 11],
    /from 2 to 3/,
  ],
  [
    'a quorum of more than there are',
    durable('quorum: 2', 'quorum: 3'),
    'policy/out-of-range',
    'anchors.quorum',
    [21, 11],
    /write 2/,
  ],
  ['no quorum', durable('quorum: 2', 'quorum: 0'), 'policy/out-of-range', 'anchors.quorum', [21, 11], /from 1/],
  [
    'a party called quorum',
    written('  bob:\n    role', '  quorum:\n    role')
      .replace('model: bob', 'model: quorum')
      .replace('bob: 2', 'quorum: 2'),
    'policy/bad-name',
    'parties.quorum',
    [8, 3],
    /another name/,
  ],
];

const BUCKETS: readonly Bad[] = [
  ['no address', bucket('alice-anchor'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /s3:\/\/alice-accord-anchor/],
  ['a web address', bucket('https://alice-anchor.s3.amazonaws.com'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /s3:\/\//],
  ['an ARN', bucket('arn:aws:s3:::alice-anchor'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /s3:\/\//],
  ['no name', bucket('s3://'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /s3:\/\//],
  ['two characters', bucket('s3://ab'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /s3:\/\//],
  ['64 characters', bucket(`s3://${'a'.repeat(64)}`), 'policy/bad-bucket', BUCKET, BUCKET_AT, /s3:\/\//],
  ['capitals', bucket('s3://Alice-anchor'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /lower-case/],
  ['an underscore', bucket('s3://alice_anchor'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /lower-case/],
  ['a hyphen at the end', bucket('s3://alice-'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /either end/],
  ['a dot at the beginning', bucket('s3://.alice'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /either end/],
  ['two dots', bucket('s3://alice..anchor'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /no such bucket/],
  ['an IP address', bucket('s3://192.168.5.4'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /no such bucket/],
  ['a beginning that S3 keeps', bucket('s3://xn--alice'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /general purpose/],
  ['an ending that S3 keeps', bucket('s3://alice--x-s3'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /general purpose/],
  [
    'an alias of an access point',
    bucket('s3://alice-s3alias'),
    'policy/bad-bucket',
    BUCKET,
    BUCKET_AT,
    /general purpose/,
  ],
  [
    'a prefix that goes up',
    bucket('s3://alice-anchor/../x'),
    'policy/bad-bucket',
    BUCKET,
    BUCKET_AT,
    /begin with a dot/,
  ],
  ['an empty part', bucket('s3://alice-anchor/a//b'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /not empty/],
  ['a space', bucket('s3://alice-anchor/a b'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /letters, digits/],
  ['a percent sign', bucket('s3://alice-anchor/a%2e'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /letters, digits/],
  ['a line', bucket('s3://alice-anchor/a\\nb'), 'policy/bad-bucket', BUCKET, BUCKET_AT, /letters, digits/],
  [
    'a long prefix',
    bucket(`s3://alice-anchor/${'a'.repeat(BOUNDS.prefixCharacters)}`),
    'policy/bad-bucket',
    BUCKET,
    BUCKET_AT,
    /at most 512/,
  ],
  ['no Region', durable('eu-north-1', 'mars-1'), 'policy/bad-value', 'anchors.bob.region', [20, 41], /eu-west-1/],
  [
    'a Region of another partition',
    durable('eu-north-1', 'cn-north-1'),
    'policy/bad-value',
    'anchors.bob.region',
    [20, 41],
    /same partition/,
  ],
  [
    'a folder without a trial',
    durable('s3: "s3://alice-anchor"', 'folder: /var/anchor'),
    'policy/folder-anchor',
    'anchors.alice.folder',
    [19, 20],
    /name a bucket/,
  ],
  [
    'a folder by a relative path',
    durable('s3: "s3://alice-anchor"', 'folder: anchor') + LOCAL_TRUST,
    'policy/bad-path',
    'anchors.alice.folder',
    [19, 20],
    /from the root/,
  ],
  [
    'a folder that goes up',
    durable('s3: "s3://alice-anchor"', 'folder: /var/../etc') + LOCAL_TRUST,
    'policy/bad-path',
    'anchors.alice.folder',
    [19, 20],
    /from the root/,
  ],
  [
    'a folder with a slash at the end',
    durable('s3: "s3://alice-anchor"', 'folder: /var/') + LOCAL_TRUST,
    'policy/bad-path',
    'anchors.alice.folder',
    [19, 20],
    /slash at the end/,
  ],
];

const STATE: readonly Bad[] = [
  [
    'anchors without state',
    DURABLE.slice(0, DURABLE.indexOf('state:')),
    'policy/half-durable',
    'anchors',
    [18, 1],
    /state: \{ seal: layered \}/,
  ],
  [
    'anchors with no state',
    `${DURABLE.slice(0, DURABLE.indexOf('state:'))}state: none\n`,
    'policy/half-durable',
    'anchors',
    [18, 1],
    /anchors: none/,
  ],
  [
    'state without anchors',
    `${written('anchors: none\n', '')}state: { seal: layered }\n`,
    'policy/half-durable',
    'state',
    [18, 1],
    /add anchors/,
  ],
  [
    'state with no anchors',
    `${GOOD}state: { seal: layered }\n`,
    'policy/half-durable',
    'state',
    [19, 1],
    /state: none/,
  ],
  [
    'a party that is not in the order',
    durable('[bob, alice]', '[bob]'),
    'policy/bad-order',
    'state.order',
    [24, 10],
    /each of the 2 parties once/,
  ],
  [
    'a party twice in the order',
    durable('[bob, alice]', '[bob, alice, bob]'),
    'policy/bad-value',
    'state.order[2]',
    [24, 23],
    /./,
  ],
  [
    'a stranger in the order',
    durable('[bob, alice]', '[bob, alice, eve]'),
    'policy/unknown-party',
    'state.order[2]',
    [24, 23],
    /alice, bob/,
  ],
  ['another seal', durable('layered', 'layerd'), 'policy/bad-value', 'state.seal', [23, 9], /layered/],
  ['no seal', durable('  seal: layered\n', ''), 'policy/missing-key', 'state', [23, 3], /seal: /],
  [
    'a threshold of none',
    durable('layered', '{ threshold: 0 }'),
    'policy/out-of-range',
    'state.seal.threshold',
    [23, 22],
    /from 1/,
  ],
  [
    'a threshold of more than there are',
    durable('layered', '{ threshold: 3 }'),
    'policy/out-of-range',
    'state.seal.threshold',
    [23, 22],
    /from 1 to 2/,
  ],
  [
    'half a threshold',
    durable('layered', '{ threshold: 1.5 }'),
    'policy/out-of-range',
    'state.seal.threshold',
    [23, 22],
    /whole number/,
  ],
  [
    'a predecessor without state',
    `${GOOD}succeeds: { policyDigest: ${DIGEST}, calls: fresh }\n`,
    'policy/half-durable',
    'succeeds',
    [19, 1],
    /leave `succeeds` out/,
  ],
  [
    'half a digest',
    `${DURABLE}succeeds: { policyDigest: abcd, calls: fresh }\n`,
    'policy/bad-value',
    'succeeds.policyDigest',
    [25, 27],
    /96 hexadecimal/,
  ],
  [
    'a digest in capitals',
    `${DURABLE}succeeds: { policyDigest: ${DIGEST.toUpperCase()}, calls: fresh }\n`,
    'policy/bad-value',
    'succeeds.policyDigest',
    [25, 27],
    /96 hexadecimal/,
  ],
  [
    'a predecessor whose calls are not spoken of',
    `${DURABLE}succeeds: { policyDigest: ${DIGEST} }\n`,
    'policy/missing-key',
    'succeeds',
    [25, 11],
    /calls: Whether/,
  ],
  [
    'calls that are neither',
    `${DURABLE}succeeds: { policyDigest: ${DIGEST}, calls: kept }\n`,
    'policy/bad-value',
    'succeeds.calls',
    [25, 132],
    /carried/,
  ],
];

const BUDGETS: readonly Bad[] = [
  [
    'more bits than were agreed',
    written('    calls:', '    answerBits: 12\n    calls:'),
    'policy/too-many-bits',
    'functions.classify.answerBits',
    [15, 17],
    /write at least \d+/,
  ],
  [
    'no bits',
    written('    calls:', '    answerBits: 0\n    calls:'),
    'policy/out-of-range',
    'functions.classify.answerBits',
    [15, 17],
    /from 1/,
  ],
  [
    "labels beyond a model's",
    written('    calls:', '    output: { labels: 1001 }\n    calls:'),
    'policy/out-of-range',
    'functions.classify.output.labels',
    [15, 23],
    /from 1 to 1000/,
  ],
  [
    'more calls than a counter can keep',
    written('image-classification\n    model: bob', 'counter').replace('alice: 3', 'alice: 100000'),
    'policy/out-of-range',
    'functions.classify.calls',
    [15, 7],
    /at most 100000 calls/,
  ],
  [
    'a model of a counter',
    written('image-classification', 'counter'),
    'policy/unknown-key',
    'functions.classify.model',
    [14, 5],
    /remove model: a counter computes without one/,
  ],
  [
    'too little padding for a counter',
    written('image-classification\n    model: bob', 'counter\n    release: { padTo: 511 }'),
    'policy/out-of-range',
    'functions.classify.release.padTo',
    [14, 23],
    /512/,
  ],
];

test('the policy that the faults are put into has none', async () => {
  expect(faultsOf(DURABLE)).toEqual([]);
  expect(faultsOf(DURABLE + LOCAL_TRUST)).toEqual([]);
  expect(await accord(['check', '-'], DURABLE)).toMatchObject({ code: 0, err: '' });
});

describe.each([
  ['anchors', ANCHORS],
  ['buckets and folders', BUCKETS],
  ['state and succession', STATE],
  ['what answers carry', BUDGETS],
] as const)('%s', (_, table) => {
  test.each(table)('%s', async (_what, text, code, path, [line, column], hint) => {
    const fault = faultsOf(text)[0];
    expect(fault).toMatchObject({ file: 'policy.yaml', code, path, line, column });
    expect(fault?.hint ?? 'say it once').toMatch(hint);
    const { code: exitCode, out, err } = await accord(['check', '-'], text);
    expect({ exitCode, out }).toEqual({ exitCode: 30, out: '' });
    expect(err).toContain(`-:${line}:${column}  ${path}: ${fault?.message}`);
  });
});

test('no image is built of a policy whose answers could carry more than was agreed', async () => {
  const text = written('    calls:', '    answerBits: 12\n    calls:');
  const { code, out, err } = await accord(['build', '-', '-o', 'nowhere', '--target', 'local'], text);
  expect({ code, out }).toEqual({ code: 30, out: '' });
  expect(err).toMatch(/answerBits: the answers to 3 calls of alice can carry .* bits .*; agreed are 12/);
});

test('all of them are told at once, in their order', () => {
  const many = [
    ['s3://alice-anchor', 's3://Alice'],
    ['quorum: 2', 'quorum: 1'],
    ['layered', '{ threshold: 9 }'],
    ['[bob, alice]', '[alice]'],
    ['    calls:', '    answerBits: 1\n    release: { padTo: 512 }\n    output: { topK: 10 }\n    calls:'],
  ].reduce((text, [part = '', other = '']) => text.replace(part, other), DURABLE);
  expect(faultsOf(many).map(({ code }) => code)).toEqual([
    'policy/too-many-bits',
    'policy/pad-too-small',
    'policy/bad-bucket',
    'policy/out-of-range',
    'policy/out-of-range',
    'policy/bad-order',
  ]);
});
