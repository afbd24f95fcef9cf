/** `accord quota` from the anchors: what the party reads itself, and what it says where the enclave says otherwise. */
import { CreateAccessKeyCommand } from '@aws-sdk/client-iam';
import { DeleteBucketPolicyCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import * as files from 'node:fs/promises';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { createFolderAnchor } from '../../../enclave/claims/folder-anchor.ts';
import { openS3Anchor } from '../../../enclave/claims/open-anchor.ts';
import { createTicketBook } from '../../../enclave/claims/tickets.ts';
import type { TicketBook } from '../../../enclave/claims/tickets.ts';
import { readAnchor } from '../../../parties/anchors/read.ts';
import { differences, strangeThings, usageOf } from '../../../parties/anchors/usage.ts';
import type { PartyUsage } from '../../../parties/anchors/usage.ts';
import { verb as anchorVerb } from '../../../parties/cli/anchor.ts';
import { verb as quotaVerb } from '../../../parties/cli/quota.ts';
import { compare, renderDifferences, renderReading } from '../../../parties/cli/quota-anchors.ts';
import { jsonFields } from '../../../parties/json-fields.ts';
import type { Fields } from '../../../parties/json-fields.ts';
import { openHome, writeHome } from '../../../parties/home.ts';
import type { CanonicalPolicy, PolicyDigest } from '../../../policies/model.ts';
import { realTimers } from '../../enclave/real-timers.ts';
import { ALICE, ALICE_ARN, BOB, REGION, localAws } from '../../orchestrator/local/fixture.ts';
import { runVerb } from '../cli/run-verb.ts';
import type { Outcome } from '../cli/run-verb.ts';
import { newHome } from '../home/new-home.ts';
import { anchoredHome } from './anchored.ts';

const fixture = localAws();
const ANCHORS = '{ alice: { s3: "s3://alice-accord-anchor" }, bob: { s3: "s3://bob-accord-anchor" } }';
const BUCKETS = { alice: 'alice-accord-anchor', bob: 'bob-accord-anchor' } as const;
const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

let cwd: string;
let digest: PolicyDigest;
let stores: { readonly alice: Anchor; readonly bob: Anchor };

const asAlice = (...argv: readonly string[]): Promise<Outcome> =>
  runVerb('quota', quotaVerb, argv, { cwd, env: fixture.env });

async function anchorOf(owner: 'alice' | 'bob'): Promise<Anchor> {
  const bucket = BUCKETS[owner];
  const command = new CreateAccessKeyCommand({ UserName: `accord-anchor-${bucket}` });
  const { AccessKey: key } = await fixture.iam(owner).send(command);
  const { url, caPem } = fixture.aws;
  return openS3Anchor({
    aws: {
      trust: { attestationRoot: '', tlsRoots: [], endpoints: { kms: url, sts: url, s3: url } },
      agent: new Agent({ ca: caPem, keepAlive: true }),
      clockOffset: () => Promise.resolve(0),
    },
    timers: realTimers,
    store: { owner, s3: { bucket, prefix: 'accord/', region: REGION } },
    account: { alice: ALICE, bob: BOB }[owner],
    credential: { accessKeyId: key?.AccessKeyId ?? '', secretAccessKey: key?.SecretAccessKey ?? '' },
    until: '2027-06-30',
  });
}

/** As the enclave writes tickets. */
const book = (...anchors: readonly Anchor[]): Promise<TicketBook> =>
  createTicketBook({ anchors: { stores: anchors, quorum: anchors.length }, policyDigest: digest, stateKey: bytes(7), timers: realTimers }); // prettier-ignore

const take = async (tickets: TicketBook, id: number, party = 'alice'): Promise<void> => {
  const request = { function: 'classify', party, quota: 3, requestId: bytes(id), inputDigest: bytes(1), readsDigest: bytes(2) }; // prettier-ignore
  const ticket = await tickets.take(request);
  if (ticket.outcome === 'granted') await ticket.settled;
};

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-quota-'));
  digest = await anchoredHome(cwd, ANCHORS, 'http://127.0.0.1:1');
  const make = (party: string, ...more: readonly string[]): Promise<Outcome> =>
    runVerb('anchor', anchorVerb, ['make', 'policy.yaml', '--party', party, '--profile', party, ...more], { cwd, env: fixture.env }); // prettier-ignore
  expect((await make('alice')).code).toBe(0);
  expect((await make('bob', '--reader', ALICE_ARN)).code).toBe(0);
  stores = { alice: await anchorOf('alice'), bob: await anchorOf('bob') };
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

describe('accord quota --no-enclave', () => {
  test('before any call', async () => {
    const { code, out } = await asAlice('--no-enclave');
    expect(code).toBe(0);
    expect(out).toMatch(/classify, alice {2}3 of 3 calls left\n/);
    expect(out).toMatch(/classify, bob {4}2 of 2 calls left\n/);
    expect(out).toMatch(/bob: s3:\/\/bob-accord-anchor\/accord\/, 0 tickets/);
  });

  test('counts what a quorum holds, and what is half claimed', async () => {
    const tickets = await book(stores.alice, stores.bob);
    await take(tickets, 1);
    await take(tickets, 2, 'bob');
    await take(await book(stores.alice), 3); // the host cut the link to Bob's
    const { out } = await asAlice('--no-enclave');
    expect(out).toMatch(/classify, alice {2}1 of 3 calls left \(1 held by the quorum, 1 half claimed: 2 at alice's, 1 at bob's\)/); // prettier-ignore
    expect(out).toMatch(/classify, bob {4}1 of 2 calls left \(1 held by the quorum: 1 at alice's, 1 at bob's\)/);
    const { read } = JSON.parse((await asAlice('--no-enclave', '--json')).out);
    expect(read).toMatchObject({
      quorum: 2,
      calls: [
        { function: 'classify', party: 'alice', quota: 3, held: 1, half: 1, left: 1, at: { alice: 2, bob: 1 } },
        { function: 'classify', party: 'bob', quota: 2, held: 1, half: 0, left: 1 },
      ],
      reports: [],
    });
  });

  test('tells of delete markers and of what should not be there; neither counts', async () => {
    // Bob takes his policy away and meddles.
    const s3 = fixture.s3('bob');
    await s3.send(new DeleteBucketPolicyCommand({ Bucket: BUCKETS.bob }));
    const under = `accord/tickets/${digest}/classify`;
    await s3.send(new DeleteObjectCommand({ Bucket: BUCKETS.bob, Key: `${under}/alice/0` }));
    await s3.send(
      new PutObjectCommand({ Bucket: BUCKETS.bob, Key: `${under}/alice/2`, Body: 'a call that never was' }),
    );
    await s3.send(new PutObjectCommand({ Bucket: BUCKETS.bob, Key: `${under}/alice/x`, Body: 'x' }));
    await runVerb('anchor', anchorVerb, ['make', 'policy.yaml', '--party', 'bob', '--profile', 'bob', '--reader', ALICE_ARN], { cwd, env: fixture.env }); // prettier-ignore
    const { out } = await asAlice('--no-enclave');
    const text = out.replaceAll(/\s+/g, ' ');
    expect(text).toMatch(/1 of 3 calls left \(1 held by the quorum, 1 half claimed/);
    expect(text).toMatch(/! bob's anchor: .*alice\/0 has a delete marker/);
    expect(text).toMatch(/! bob's anchor: classify\/alice\/2: .*shows no lock/);
    expect(text).toMatch(/! bob's anchor: classify\/alice\/x: it is no ticket/);
  });

  test('says which anchor it may not read, and what that means', async () => {
    await runVerb('anchor', anchorVerb, ['make', 'policy.yaml', '--party', 'bob', '--profile', 'bob'], { cwd, env: fixture.env }); // prettier-ignore
    const { code, out } = await asAlice('--no-enclave');
    const text = out.replaceAll(/\s+/g, ' ');
    expect(code).toBe(0);
    expect(text).toMatch(/bob: s3:\/\/bob-accord-anchor\/accord\/ cannot be read: listing the anchor/);
    expect(text).toMatch(/1 of 3 calls left \(2 seen: 2 at alice's\)/);
    expect(text).toMatch(/1 of 2 anchors can be read, .*no call that counts is missing here/);
    expect(text).not.toMatch(/at most|more may be spent/);
  });

  test('is refused where the policy has no anchors', async () => {
    const other = await mkdtemp(join(tmpdir(), 'accord-quota-'));
    await writeHome(join(other, 'home'), await newHome(), false);
    const { code, err } = await runVerb('quota', quotaVerb, ['--home', join(other, 'home'), '--no-enclave'], { cwd, env: fixture.env }); // prettier-ignore
    expect([code, err]).toEqual([10, expect.stringContaining('no anchors')]);
    await rm(other, { recursive: true, force: true });
  });
});

describe('a folder', () => {
  test('is read where it is', async () => {
    const folder = join(cwd, 'folder');
    await mkdir(folder);
    const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
    await take(await book(createFolderAnchor({ owner: 'alice', folder, files, random })), 1);
    await writeFile(join(folder, 'tickets', digest, 'classify', 'alice', '1'), 'no entry');
    const home = await openHome(join(cwd, '.accord', 'alice'));
    const options = {
      aws: { region: REGION, env: fixture.env },
      policyDigest: digest,
      until: '2027-06-30',
      account: ALICE,
      party: 'alice',
      timers: realTimers,
      random,
      signal: new AbortController().signal,
    };
    const read = await readAnchor({ owner: 'alice', folder }, options);
    if (!('tickets' in read)) throw new Error(read.unreadable);
    const policy: CanonicalPolicy = { ...home.policy, anchors: { stores: [{ owner: 'alice', folder }], quorum: 1 } };
    expect(usageOf(policy, [read])[0]).toMatchObject({ party: 'alice', held: 1, half: 0, left: 2 });
    expect(strangeThings(policy, [read])).toEqual([expect.stringMatching(/classify\/alice\/1: .*no entry/)]);
    expect(await readAnchor({ owner: 'alice', folder: join(folder, 'nowhere') }, options)).toMatchObject({
      unreadable: expect.stringContaining('cannot be read here'),
    });
  });
});

describe('where the enclave says another number', () => {
  const usage: readonly PartyUsage[] = [
    { function: 'f', party: 'alice', quota: 3, held: 3, half: 0, closed: 0, left: 0, at: {} },
    { function: 'f', party: 'bob', quota: 2, held: 0, half: 0, closed: 0, left: 2, at: {} },
  ];
  const says = (alice: number | undefined, bob: number): Parameters<typeof differences>[1] => [
    { function: 'f', party: 'alice', left: alice },
    { function: 'f', party: 'bob', left: bob },
  ];

  test('the same, or none: nothing is said', () => {
    expect(differences(usage, says(0, 2), true)).toEqual([]);
    expect(differences(usage, says(undefined, 2), true)).toEqual([]);
    expect(renderDifferences([])).toBe('');
  });

  test('more left than the anchors show: always', () => {
    for (const allRead of [true, false]) {
      const found = differences(usage, says(3, 2), allRead);
      expect(found).toEqual([expect.objectContaining({ party: 'alice', enclaveLeft: 3, anchorsLeft: 0 })]);
      expect(renderDifferences(found)).toMatch(/^THE ENCLAVE AND THE ANCHORS DO NOT AGREE/);
    }
  });

  test('less left: only where every anchor was read', () => {
    expect(differences(usage, says(0, 1), true)).toHaveLength(1);
    expect(differences(usage, says(0, 1), false)).toEqual([]);
  });

  test('what too few anchors tell is a most, not a number', () => {
    const bob = { owner: 'bob', place: 's3://b', unreadable: 'no' };
    const reading = (...anchors: Parameters<typeof renderReading>[0]['anchors']): string =>
      renderReading({ anchors, quorum: 2, calls: usage, reports: [] }).replaceAll(/\s+/g, ' ');
    const none = reading({ owner: 'alice', place: 's3://a', unreadable: 'no' }, bob);
    expect(none).toMatch(/at most \d of \d calls left.*0 of 2 anchors can be read.*more may be spent/);
    const one = reading({ owner: 'alice', place: 's3://a', tickets: 3 }, bob);
    expect(one).toMatch(/no call that counts is missing here/);
    expect(one).not.toMatch(/at most|more may be spent/);
  });

  test('its status is read as it is written, with what it does not know now', () => {
    const reading = {
      anchors: [{ owner: 'alice', place: 's3://a', tickets: 3 }],
      quorum: 1,
      calls: usage,
      reports: [],
    };
    const status = (alice: object | null, bob: object): Fields => {
      const functions = { f: { uses: 'counter', model: null, calls: alice, callers: { bob } } };
      return jsonFields({ party: 'alice', functions }, 'test', 'status');
    };
    const agrees = { quota: 2, used: 0, left: 2 };
    expect(compare(reading, status({ quota: 3, used: 3, left: 0 }, agrees))).toEqual([]);
    expect(compare(reading, status({ quota: 3, used: null, left: null }, agrees))).toEqual([]);
    expect(compare(reading, status(null, agrees))).toEqual([]);
    expect(compare(reading, status({ quota: 3, used: 0, left: 3 }, { ...agrees, used: 1, left: 1 }))).toMatchObject([
      { party: 'alice', enclaveLeft: 3, anchorsLeft: 0 },
      { party: 'bob', enclaveLeft: 1, anchorsLeft: 2 },
    ]);
    const part = { ...reading, anchors: [...reading.anchors, { owner: 'bob', place: 's3://b', unreadable: 'no' }] };
    expect(compare(part, status({ quota: 3, used: 3, left: 0 }, { ...agrees, left: 1 }))).toEqual([]);
  });
});
