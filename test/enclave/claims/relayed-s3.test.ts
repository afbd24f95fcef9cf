/**
 * A whole gate whose anchors are buckets: through the real relay, TLS ending inside, with credentials that their owners
 * handed over, in buckets as `accord anchor make` leaves them.
 */
import { CreateAccessKeyCommand } from '@aws-sdk/client-iam';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { concat } from '../../../enclave/encoding/bytes.ts';
import type { Status } from '../../../enclave/pipeline/status.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { sealEnvelope } from '../../../enclave/protocol/envelope.ts';
import { allowList } from '../../../orchestrator/relay/allow-list.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import { outboundService } from '../../../orchestrator/relay/outbound.ts';
import { anchorClients } from '../../../parties/anchors/clients.ts';
import { planAnchor } from '../../../parties/anchors/make.ts';
import { termsFor } from '../../../parties/anchors/terms.ts';
import { createIam, createS3 } from '../../../parties/kms/client.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { GateOptions, TestGate } from '../harness.ts';
import { KEY_ARNS, newRequestId, startGate } from '../harness.ts';
import { kmsAsMain } from '../kms/as-main.ts';
import type { PartiesAws } from '../kms/parties-aws.ts';
import { startPartiesAws } from '../kms/parties-aws.ts';
import type { Peer } from '../peer.ts';
import type { HostStorage } from '../scripted-host.ts';
import { createHostStorage } from '../scripted-host.ts';
import { SEALED } from '../state/sealed.ts';

const OWNERS = ['alice', 'bob'] as const;
type Owner = (typeof OWNERS)[number];
const { functions, anchors, state } = SEALED;

let parties: PartiesAws;
let storage: HostStorage;
let outbound: (connection: Socket) => void;
const gates: TestGate[] = [];

beforeAll(async () => {
  parties = await startPartiesAws(Date.now, { functions, anchors, state });
  await parties.pin('aa'.repeat(48));
  storage = createHostStorage();
  for (const owner of OWNERS) {
    await makeAnchor(owner);
    await handOver(owner);
  }
  outbound = outboundService({
    allow: allowList(await toCanonicalPolicy(parties.policy)),
    localAws: () => Promise.resolve({ host: '127.0.0.1', port: parties.aws.port }),
    notebook: createNotebook(() => 0),
  });
});
afterEach(async () => {
  for (const gate of gates.splice(0)) await gate.stop();
});
afterAll(() => parties.close());

const awsOf = (owner: Owner) => ({ profile: owner, region: 'eu-west-1', env: parties.aws.environment() });
const termsOf = (owner: Owner) => termsFor(parties.policy, owner, KEY_ARNS[owner]);

async function makeAnchor(owner: Owner): Promise<void> {
  const clients = anchorClients(awsOf(owner), termsOf(owner), new AbortController().signal);
  for (const { run } of await planAnchor(termsOf(owner), clients, Date.now())) await run();
  clients.destroy();
}

/** What `accord anchor contribute` does, without an orchestrator. */
async function handOver(owner: Owner): Promise<void> {
  const command = new CreateAccessKeyCommand({ UserName: termsOf(owner).user });
  const { AccessKey: key } = await createIam({ ...awsOf(owner), region: 'us-east-1' }).send(command);
  const content = new TextEncoder().encode(
    JSON.stringify({ accessKeyId: key?.AccessKeyId, secretAccessKey: key?.SecretAccessKey }),
  );
  const digest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(parties.policy)));
  const context = anchorContext({ policyDigest: digest, party: owner });
  const dataKey = await parties.dataKey(KEY_ARNS[owner], context);
  const header = { keyArn: KEY_ARNS[owner], dataKey: dataKey.ciphertext, context, noncePrefix: randomBytes(7) };
  const parts: Uint8Array[] = [];
  for await (const part of sealEnvelope(header, dataKey.plaintext, [content])) parts.push(part);
  storage.blobs.set(`anchor.${owner}`, concat(...parts));
}

async function start(options: GateOptions = {}): Promise<TestGate> {
  const gate = await startGate({
    policy: parties.policy,
    issuer: parties.aws.issuer,
    start: Date.now(),
    roots: [parties.aws.caDer],
    connectAws: kmsAsMain(),
    outbound,
    storage,
    ...options,
  });
  gates.push(gate);
  return gate;
}

const peerOf = async (gate: TestGate, party: Owner): Promise<Peer> =>
  gate.peer(party, { encrypt: parties.encrypt, credentials: await parties.credentials(party) });

const isOpen = (gate: TestGate): Promise<unknown> =>
  expect.poll(() => gate.keyed.gate.opening.status(), { timeout: 20_000 }).toMatchObject({ state: 'open' });

async function opened(options: GateOptions = {}): Promise<Peer> {
  const gate = await start(options);
  const [alice] = await Promise.all([peerOf(gate, 'alice'), peerOf(gate, 'bob')]);
  await isOpen(gate);
  return alice;
}

async function statusOf(peer: Peer): Promise<Status> {
  const answer = await peer.ask({ t: 'status' });
  if (answer === 'closed' || answer.t !== 'status') throw new Error(JSON.stringify(answer));
  const status: Status = JSON.parse(answer.status);
  return status;
}

test('calls are written down in both buckets, and stay spent in an enclave that is started again', async () => {
  const alice = await opened();
  const first = newRequestId();
  const answer = await alice.call('count', first, new Uint8Array(8));
  expect(answer).toMatchObject({ t: 'answer' });
  await alice.call('count', newRequestId(), new Uint8Array(8));
  for (const owner of OWNERS) {
    const { bucket: Bucket, prefix } = termsOf(owner);
    const listing = new ListObjectVersionsCommand({ Bucket, Prefix: `${prefix}tickets/` });
    const { Versions } = await createS3(awsOf(owner)).send(listing);
    expect(Versions?.map(({ Key }) => Key?.split('/').slice(-3).join('/'))).toEqual(['count/alice/0', 'count/alice/1']);
  }

  const again = await opened();
  expect((await statusOf(again)).functions['count']?.calls).toEqual({ quota: 3, used: 2, left: 1 });
  // The answer that was paid for is given again, and costs nothing.
  expect(await again.call('count', first, new Uint8Array(8))).toEqual(answer);
  expect(await again.call('count', newRequestId(), new Uint8Array(8))).toMatchObject({ t: 'answer' });
  expect(await again.call('count', newRequestId(), new Uint8Array(8))).toMatchObject({ refused: 'quota-exceeded' });
  expect((await statusOf(again)).anchors).toMatchObject({ quorum: 2, reports: [] });
});

describe('where an anchor cannot be used, the state stays closed, and it says why', () => {
  test('the relay reaches KMS and not S3', async () => {
    const allow = allowList({ ...(await toCanonicalPolicy(parties.policy)), anchors: 'none' });
    const localAws = () => Promise.resolve({ host: '127.0.0.1', port: parties.aws.port });
    const gate = await start({ outbound: outboundService({ allow, localAws, notebook: createNotebook(() => 0) }) });
    const alice = await peerOf(gate, 'alice');
    await peerOf(gate, 'bob');
    await expect
      .poll(async () => JSON.stringify((await statusOf(alice)).state), { timeout: 15_000 })
      .toMatch(/"waiting".*anchor\/unavailable \(s3:\/\/(alice|bob)-anchor\/accord\/: host\/dial-refused\)/);
    // The party's session is not held up by it.
    expect((await statusOf(alice)).functions['count']?.calls).toEqual({ quota: 3, used: null, left: null });
  });

  test('a credential of another policy', async () => {
    const own = createHostStorage();
    own.blobs.set('anchor.alice', storage.blobs.get('anchor.bob') ?? new Uint8Array(0));
    own.blobs.set('anchor.bob', storage.blobs.get('anchor.bob') ?? new Uint8Array(0));
    const gate = await start({ storage: own });
    const alice = await peerOf(gate, 'alice');
    await peerOf(gate, 'bob');
    await expect
      .poll(async () => JSON.stringify((await statusOf(alice)).state), { timeout: 10_000 })
      .toMatch(/"waitingFor":\["alice"\].*anchor-credential\/misplaced/);
  });
});
