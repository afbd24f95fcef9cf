/**
 * A host that keeps everything: what the orchestrator stores, logs and shows, and every byte that it relays, also to and
 * from the parties' anchors. Two parties go through a whole collaboration, a restart in the middle of it; then everything
 * that is only theirs is looked for in all of it, and all but what an anchor's owner may know in the anchors themselves.
 */
import { mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { WebSocket } from 'ws';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { encodeCbor } from '../../enclave/encoding/cbor.ts';
import { writeFrame } from '../../enclave/protocol/frame.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import { createScanner } from '../../orchestrator/demo/plaintext-scan.ts';
import type { Found, Secret } from '../../orchestrator/demo/plaintext-scan.ts';
import { startLocalAws } from '../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../orchestrator/local/aws.ts';
import { startOrchestrator } from '../../orchestrator/main.ts';
import type { Orchestrator } from '../../orchestrator/main.ts';
import { pair } from '../orchestrator/relay/pair.ts';
import { ANCHORS, EXAMPLE, agree, anchor, callOf, callsLeft, connect, contribute, homeOf, must, picture, takePart } from './collaboration.ts'; // prettier-ignore
import type { Agreement, Seat } from './collaboration.ts';
import { CLEAN, compiled, startAccord } from './processes.ts';
import type { Tap } from './tap.ts';

/** What AWS in miniature knows and the host must not: filled as it makes it. */
const known = vi.hoisted(() => ({
  tap: { current: undefined as Tap | undefined }, // oxlint-disable-line typescript/consistent-type-assertions -- an empty place
  plaintexts: [] as Uint8Array[],
  sessions: [] as { readonly secretAccessKey: string; readonly sessionToken: string }[],
}));

vi.mock(import('../../orchestrator/hosts/local.ts'), async (load) => {
  const [real, { createTap }] = await Promise.all([load(), import('./tap.ts')]);
  const tap = createTap();
  known.tap.current = tap;
  return { ...real, createLocalHost: (options) => tap.on(real.createLocalHost(options)) };
});
vi.mock(import('../../orchestrator/local/kms/ciphertext.ts'), async (load) => {
  const real = await load();
  return {
    ...real,
    encryptBlob: (key, plaintext, context) => {
      known.plaintexts.push(new Uint8Array(plaintext));
      return real.encryptBlob(key, plaintext, context);
    },
  };
});
vi.mock(import('../../orchestrator/local/credentials.ts'), async (load) => {
  const real = await load();
  return {
    ...real,
    issueSession: (...given) => {
      const session = real.issueSession(...given);
      known.sessions.push(session);
      return session;
    },
  };
});

let folder: string;
let aws: LocalAws;
let orchestrator: Orchestrator;
let seat: Seat;
let agreement: Agreement;
const logged: string[] = [];
const answers: string[] = [];

beforeAll(async () => {
  await compiled();
  folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-host-')));
  const dataFolder = join(folder, 'data');
  aws = await startLocalAws({ dataDir: join(folder, 'aws') });
  orchestrator = await startOrchestrator({
    dataFolder,
    runFolder: join(dataFolder, 'run'),
    localAwsFolder: aws.dataDir,
    port: 0,
    address: '127.0.0.1',
    now: () => new Date(),
    log: (line) => void logged.push(line),
  });
  const env = { ...CLEAN, ...aws.environment() };
  seat = {
    folder,
    awsFolder: aws.dataDir,
    dataFolder,
    url: orchestrator.url,
    start: (...argv) => startAccord({ cwd: folder, env }, ...argv),
  };
  const policyFile = join(EXAMPLE, 'policy.yaml');
  agreement = await agree(seat, policyFile, ANCHORS);
  await takePart(seat, agreement, 'alice', 'bob');
  await anchor(seat);
  await contribute(seat);
  const calls = [
    ['alice', 'alice-1'],
    ['alice', 'alice-2'],
    ['bob', 'bob-1'],
  ] as const;
  for (const [person, name] of calls) {
    answers.push(JSON.stringify(await must(seat, ...callOf(seat, person, name))));
    if (name !== 'alice-1') continue;
    await must(seat, 'stop', agreement.id, '--orchestrator', seat.url);
    await agree(seat, policyFile, ANCHORS);
    await connect(seat);
  }
  expect(await callsLeft(seat, 'alice')).toBe(1);
}, 480_000);
afterAll(async () => {
  await orchestrator?.close();
  await aws?.close();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

const text = (name: string, value: string): Secret => ({ name, bytes: Buffer.from(value) });

async function pictures(): Promise<readonly Secret[]> {
  const names = ['alice-1', 'alice-2', 'bob-1'];
  return (
    await Promise.all(
      names.map(async (name) => [
        { name: `picture ${name}`, bytes: await readFile(picture(name)) },
        { name: `pixels of ${name}`, bytes: await sharp(picture(name)).raw().toBuffer() },
        {
          name: `what the model sees of ${name}`,
          bytes: await sharp(picture(name)).resize(64, 64, { fit: 'fill' }).raw().toBuffer(),
        },
      ]),
    )
  ).flat();
}

async function model(): Promise<readonly Secret[]> {
  const manifest = await readFile(join(EXAMPLE, 'manifest.json'), 'utf8');
  const { labels }: { readonly labels: readonly string[] } = JSON.parse(manifest);
  return [
    { name: 'weights', bytes: await readFile(join(EXAMPLE, 'model.onnx')) },
    text('manifest', manifest),
    ...labels.map((label) => text(`label ${label}`, label)),
  ];
}

interface AwsState {
  readonly tokenKey: string;
  readonly keys: readonly { readonly arn: string; readonly material: string }[];
  readonly accounts: readonly {
    readonly users: readonly { readonly name: string; readonly accessKeys: readonly { readonly secret: string }[] }[];
  }[];
}

async function keys(): Promise<readonly Secret[]> {
  const state: AwsState = JSON.parse(await readFile(join(aws.dataDir, 'state.json'), 'utf8'));
  return [
    ...state.keys.map(({ arn, material }) => ({ name: `material of ${arn}`, bytes: Buffer.from(material, 'base64') })),
    { name: 'key of session tokens', bytes: Buffer.from(state.tokenKey, 'base64') },
    ...known.plaintexts.map((bytes, index) => ({ name: `data key or challenge ${index}`, bytes })),
    ...known.sessions.flatMap(({ secretAccessKey, sessionToken }, index) => [
      text(`secret key of session ${index}`, secretAccessKey),
      text(`token of session ${index}`, sessionToken),
    ]),
    ...state.accounts.flatMap(({ users }) =>
      users.flatMap(({ name, accessKeys }) => accessKeys.map(({ secret }) => text(`secret key of ${name}`, secret))),
    ),
  ];
}

/** The ids under which calls can be repeated: known to a party and the enclave alone. */
async function requestIds(): Promise<readonly Secret[]> {
  const names = await Promise.all((['alice', 'bob'] as const).map((who) => readdir(join(homeOf(seat, who), 'calls'))));
  return names
    .flat()
    .map((file) => ({ name: `request id ${file}`, bytes: Buffer.from(file.replace('.json', ''), 'hex') }));
}

async function allSecrets(): Promise<readonly Secret[]> {
  const output = answers.map((answer, index) => text(`answer ${index}`, answer));
  return [...(await pictures()), ...(await model()), ...output, ...(await keys()), ...(await requestIds())];
}

/** What is in the buckets, with the names of their objects. */
async function anchorsHold(
  secrets: readonly Secret[],
): Promise<{ readonly found: readonly Found[]; readonly files: number }> {
  const scanner = createScanner(secrets);
  const folder = join(aws.dataDir, 's3');
  const { found, files } = await scanner.folder(folder);
  const names = Buffer.from((await readdir(folder, { recursive: true })).join('\n'));
  return { found: [...found, ...scanner.bytes(names, 'the names of files')], files };
}

interface Everything {
  readonly stored: readonly Found[];
  readonly logged: readonly Found[];
  readonly relayed: readonly Found[];
  readonly files: number;
}

/** Images, and their unpacked copies, hold what was built before there was any secret; whoever measures them sees them. */
const MEASURED = ['images', 'rootfs'];

async function lookFor(secrets: readonly Secret[]): Promise<Everything> {
  const scanner = createScanner(secrets);
  const stored = await scanner.folder(seat.dataFolder, MEASURED);
  const shown = await Promise.all(
    ['', `/${agreement.id}`, `/${agreement.id}/console`, `/${agreement.id}/observed`].map(async (path) => {
      const response = await fetch(`${seat.url}/v1/collaborations${path}`);
      expect(response.status).toBe(200);
      return scanner.bytes(Buffer.from(await response.text()), `GET …${path}`);
    }),
  );
  return {
    stored: stored.found,
    files: stored.files,
    logged: [...scanner.bytes(Buffer.from(logged.join('\n')), 'its log'), ...shown.flat()],
    relayed: overheard().flatMap(({ where, bytes }) => scanner.bytes(bytes, where)),
  };
}

const overheard = (): ReturnType<Tap['overheard']> => known.tap.current?.overheard() ?? [];
const namesOf = (found: readonly Found[]): ReadonlySet<string> => new Set(found.map(({ secret }) => secret));

describe('everything that the host stores, logs and relays', () => {
  it('was recorded: sessions, traffic to KMS, launch information, the contribution', async () => {
    const bytesOf = (port: string, direction: string): number =>
      overheard()
        .filter(({ where }) => where.startsWith(port) && where.endsWith(`${direction} the enclave`))
        .reduce((sum, { bytes }) => sum + bytes.length, 0);
    const sizes = await Promise.all(['alice-1', 'alice-2', 'bob-1'].map((name) => readFile(picture(name))));
    const sent = sizes.reduce((sum, { length }) => sum + length, 0);
    expect(bytesOf('guest port 5000', 'to')).toBeGreaterThan(sent);
    expect(bytesOf('guest port 5000', 'from')).toBeGreaterThan(3 * 1024);
    expect(bytesOf('host port 8000', 'from')).toBeGreaterThan(4096);
    expect(bytesOf('host port 8000', 'to')).toBeGreaterThan(4096);
    expect(bytesOf('host port 8001', 'to')).toBeGreaterThan(256);
    const { length: weights } = await readFile(join(EXAMPLE, 'model.onnx'));
    expect(bytesOf('host port 8002', 'to')).toBeGreaterThan(weights);
    expect(logged.join('\n')).toContain(`${agreement.id}: running`);
    expect(known.plaintexts.length).toBeGreaterThanOrEqual(6); // a challenge a session, a data key a contribution
    expect(known.sessions.length).toBeGreaterThanOrEqual(5);
    expect((await requestIds()).length).toBe(3);
  });

  it(
    'has no picture, pixel, weight, label, answer, key, credential or request id of anybody',
    { timeout: 120_000 },
    async () => {
      const secrets = await allSecrets();
      expect(secrets.length).toBeGreaterThan(40);
      const found = await lookFor(secrets);
      expect(found.stored).toEqual([]);
      expect(found.logged).toEqual([]);
      expect(found.relayed).toEqual([]);
      expect(found.files).toBeGreaterThan(100);
    },
  );

  it("sees the parties' anchors written, and nothing of a call in what is written there", async () => {
    const { entries } = Object(await (await fetch(`${seat.url}/v1/collaborations/${agreement.id}/observed`)).json());
    const hosts: readonly unknown[] = Array.isArray(entries) ? entries.map((entry) => Object(entry).host) : [];
    expect(hosts).toContain('s3.eu-west-1.accord.test');
    const { found, files } = await anchorsHold(await allSecrets());
    expect(found).toEqual([]);
    expect(files).toBeGreaterThanOrEqual(2 * 5); // three tickets, the keys and the contribution, in each of two buckets
    // What their owners may know is there: the same search finds it.
    const known = await anchorsHold([text('whose call', 'classify/alice')]);
    expect(known.found.length).toBeGreaterThan(0);
  });

  it('would have shown each of them: the search finds every secret in what its owner has', async () => {
    for (const secret of await allSecrets()) {
      const [found] = createScanner([secret]).bytes(Buffer.concat([Buffer.from('..'), secret.bytes]), 'its owner');
      expect(found?.secret).toBe(secret.name);
    }
  });

  // Last: from here on the host does hold secrets, because their owners were careless.
  it('shows what careless owners leave in each of the three places', { timeout: 120_000 }, async () => {
    const weights = await readFile(join(EXAMPLE, 'model.onnx'));
    const id = agreement.id;
    const url = `${seat.url}/v1/collaborations/${id}/contributions/classify`;
    const put = async (body: Uint8Array<ArrayBuffer>): Promise<number> => {
      const headers = { 'content-type': 'application/octet-stream' };
      return (await fetch(url, { method: 'PUT', headers, body })).status;
    };
    // What is no envelope is not even taken; something that begins like one, and is none, is.
    expect(await put(weights)).toBe(422);
    const envelope = Buffer.from(await (await fetch(url)).arrayBuffer());
    const header = envelope.subarray(0, 4 + envelope.readUInt32BE());
    expect(await put(Buffer.concat([header, weights]))).toBe(201);

    const policy = (await readFile(agreement.policyFile, 'utf8')).replace(
      /^collaboration: .*$/m,
      'collaboration: melanoma',
    );
    const carelessFile = join(folder, 'careless.yaml');
    await writeFile(carelessFile, policy);
    await must(seat, 'run', carelessFile, '--trust', aws.trustFile, '--orchestrator', seat.url, '--no-launch');

    const socket = new WebSocket(`${seat.url.replace('http', 'ws')}/v1/collaborations/${id}/session`);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    socket.send(await readFile(picture('alice-1')));
    await new Promise((resolve) => socket.once('close', resolve));

    const ends = await pair();
    known.tap.current?.services()[PORTS.blobs]?.(ends.far);
    const question = { t: 'contribution', function: 'classify' };
    await writeFrame(ends.near, encodeCbor(new Map(Object.entries(question))));
    expect((await buffer(ends.near)).length).toBeGreaterThan(weights.length);
    await ends.close();

    const found = await lookFor([...(await pictures()), ...(await model())]);
    expect(namesOf(found.stored)).toContain('weights');
    expect(namesOf(found.logged)).toContain('label melanoma');
    expect([...namesOf(found.relayed)]).toEqual(expect.arrayContaining(['picture alice-1', 'weights']));
    expect(found.relayed.some(({ where }) => where.startsWith('guest port 5000'))).toBe(true);
    expect(found.relayed.some(({ where }) => where.startsWith('host port 8002'))).toBe(true);
  });
});
