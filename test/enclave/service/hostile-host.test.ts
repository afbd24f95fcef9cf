/**
 * A host that lies on every port it answers, from the first byte on. Whatever it says, the enclave does the same as
 * without it, or nothing; and nothing hangs.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { encodeFrame } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import type { World } from '../../../enclave/service.ts';
import { PORTS } from '../../../enclave/vsock/socket.ts';
import { allowList } from '../../../orchestrator/relay/allow-list.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import { outboundService } from '../../../orchestrator/relay/outbound.ts';
import { Failure } from '../../../policies/failure.ts';
import { toCanonicalPolicy } from '../../../policies/canonical.ts';
import type { Contribution } from '../contribution.ts';
import { encryptModel } from '../contribution.ts';
import type { GateOptions, TestGate } from '../harness.ts';
import { KEY_ARNS, startGate } from '../harness.ts';
import type { PartiesAws } from '../kms/parties-aws.ts';
import { startPartiesAws } from '../kms/parties-aws.ts';
import { kmsAsMain } from '../kms/as-main.ts';
import { realTimers } from '../real-timers.ts';
import { testModel } from '../scripted-computer.ts';
import type { Listening } from '../../orchestrator/relay/pair.ts';
import { listening } from '../../orchestrator/relay/pair.ts';

type Handler = (connection: Socket) => void;

const closing: Listening[] = [];
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close();
});

/** A hundred times faster than the clock, where the time limits themselves are waited for. */
const hurried: World['timers'] = (milliseconds, run) => realTimers(milliseconds / 100, run);

async function answeredBy(handlers: Readonly<Record<number, Handler>>): Promise<(world: World) => World> {
  const dials = new Map<number, () => Promise<Duplex>>();
  for (const [port, handler] of Object.entries(handlers)) {
    const served = await listening((socket) => {
      socket.on('error', () => {});
      handler(socket);
    });
    closing.push(served);
    dials.set(Number(port), () => served.dial());
  }
  return (world) => ({
    ...world,
    vsock: { ...world.vsock, dial: (port, signal) => dials.get(port)?.() ?? world.vsock.dial(port, signal) },
  });
}

const frame = (entries: Readonly<Record<string, CborValue>>): Uint8Array =>
  encodeFrame(encodeCbor(new Map(Object.entries(entries))), Infinity);
/** Says so much as soon as it is asked, and keeps the connection. */
const saying =
  (...words: readonly Uint8Array[]): Handler =>
  (connection) =>
    connection.once('data', () => connection.write(Buffer.concat(words)));
/** Says so much, then a byte now and then, without end. */
const dripping =
  (words: Uint8Array, byte = 0): Handler =>
  (connection) =>
    connection.once('data', () => {
      connection.write(words);
      const drip = setInterval(() => connection.write(Uint8Array.of(byte)), 2);
      connection.once('close', () => clearInterval(drip));
    });
/** As fast as the enclave takes it, without end. */
const flooding =
  (words: Uint8Array): Handler =>
  (connection) =>
    connection.once('data', () => {
      connection.write(words);
      const pour = (): void => {
        while (connection.writable && connection.write(new Uint8Array(65_536)));
      };
      connection.on('drain', pour);
      pour();
    });

const head = (length: number): Uint8Array => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
};

async function outcomeOf(starting: Promise<TestGate>): Promise<unknown> {
  try {
    await (await starting).stop();
    return 'it started';
  } catch (error) {
    return error instanceof Failure ? error.code : error;
  }
}

describe('launch information', () => {
  const RIGHT = { t: 'launch', keyArns: Object.values(KEY_ARNS).slice(0, 2), roots: [] };
  const start = async (handler: Handler, options: GateOptions = {}): Promise<TestGate> =>
    startGate({ ...options, timers: hurried, world: await answeredBy({ [PORTS.launch]: handler }) });

  const REFUSED: Readonly<Record<string, readonly [Handler, string]>> = {
    'names an endpoint': [saying(frame({ ...RIGHT, endpoint: 'https://kms.evil.test' })), 'host/malformed'],
    'names endpoints as the policy does': [
      saying(frame({ ...RIGHT, endpoints: new Map([['kms', 'https://kms.evil.test']]) })),
      'host/malformed',
    ],
    'brings a policy': [saying(frame({ ...RIGHT, policy: '{}' })), 'host/malformed'],
    'brings a time': [saying(frame({ ...RIGHT, now: 4_102_444_800_000 })), 'host/malformed'],
    'brings the environment': [saying(frame({ ...RIGHT, env: 'AWS_ENDPOINT_URL=x' })), 'host/malformed'],
    'has another name': [saying(frame({ ...RIGHT, t: 'launched' })), 'host/malformed'],
    'calls its keys by other names': [
      saying(frame({ t: 'launch', kmsKeyArns: RIGHT.keyArns, roots: [] })),
      'host/malformed',
    ],
    'offers keys by party': [
      saying(frame({ t: 'launch', keyArns: new Map(Object.entries(KEY_ARNS)), roots: [] })),
      'host/malformed',
    ],
    'offers no keys': [saying(frame({ ...RIGHT, keyArns: [] })), 'host/malformed'],
    'offers too many': [saying(frame({ ...RIGHT, keyArns: Array<string>(65).fill(KEY_ARNS.alice) })), 'host/malformed'],
    'offers one key of its own': [saying(frame({ ...RIGHT, keyArns: [...RIGHT.keyArns, KEY_ARNS.charlie] })), 'launch/key-unknown'], // prettier-ignore
    'offers roots that are none': [saying(frame({ ...RIGHT, roots: ['text'] })), 'host/malformed'],
    'offers too many roots': [saying(frame({ ...RIGHT, roots: Array<Uint8Array>(17).fill(Uint8Array.of(1)) })), 'host/malformed'], // prettier-ignore
    'announces four gigabytes': [saying(head(0xffff_ffff)), 'frame/oversized'],
    'announces one byte too many': [flooding(head(LIMITS.frameBytes + 1)), 'frame/oversized'],
    'announces nothing': [saying(head(0)), 'frame/empty'],
    'is no CBOR': [saying(head(3), Uint8Array.of(0xff, 0xff, 0xff)), 'cbor/'],
    'is not deterministic CBOR': [saying(head(4), Uint8Array.of(0xb8, 0x01, 0x61, 0x74)), 'cbor/'],
    'comes never': [() => {}, 'deadline/passed'],
    'comes a byte at a time, without end': [dripping(head(LIMITS.frameBytes)), 'deadline/passed'],
    'ends in the middle': [(connection) => connection.once('data', () => connection.end(frame(RIGHT).subarray(0, 40))), 'frame/truncated'], // prettier-ignore
  };
  test.each(Object.entries(REFUSED))('that %s: it does not start', async (_, [handler, code]) => {
    expect(await outcomeOf(start(handler))).toEqual(expect.stringMatching(`^${code}`));
  });

  const HARMLESS: Readonly<Record<string, Handler>> = {
    'with another frame behind it': saying(frame(RIGHT), frame({ ...RIGHT, keyArns: [KEY_ARNS.charlie] })),
    'with bytes behind it': saying(frame(RIGHT), new Uint8Array(100_000)),
    'with bytes behind it, without end': flooding(frame(RIGHT)),
  };
  test.each(Object.entries(HARMLESS))('%s is read to its end, and the rest is not', async (_, handler) => {
    const gate = await start(handler);
    expect([...gate.keyed.gate.keyring.values()]).toEqual(['alice', 'bob']);
    await gate.stop();
  });
});

describe('the way out', () => {
  let parties: PartiesAws;
  beforeAll(async () => {
    parties = await startPartiesAws();
    await parties.pin('aa'.repeat(48));
  });
  afterAll(() => parties.close());

  const start = async (outbound: Handler, timers = realTimers): Promise<TestGate> =>
    startGate({
      policy: parties.policy,
      issuer: parties.aws.issuer,
      start: Date.now(),
      roots: [parties.aws.caDer],
      outbound,
      connectAws: kmsAsMain({ timers }),
    });
  const firstOf = async (gate: TestGate): Promise<unknown> =>
    (await gate.peer('alice', { encrypt: parties.encrypt, credentials: await parties.credentials('alice') })).first;
  const honest = async (): Promise<Handler> =>
    outboundService({
      allow: allowList(await toCanonicalPolicy(parties.policy)),
      localAws: () => Promise.resolve({ host: '127.0.0.1', port: parties.aws.port }),
      notebook: createNotebook(() => 0),
    });

  const DIALLED = frame({ t: 'dialled' });
  const RELAYS: Readonly<Record<string, Handler>> = {
    'names another address': saying(frame({ t: 'dialled', host: 'kms.evil.test', port: 443 })),
    'refuses at length': saying(frame({ t: 'refused', reason: 'x'.repeat(513) })),
    'refuses, and offers another': saying(frame({ t: 'refused', reason: 'moved', to: 'kms.evil.test' })),
    'answers what was not asked': saying(frame({ t: 'launch', keyArns: [KEY_ARNS.alice], roots: [] })),
    'announces four gigabytes': saying(head(0xffff_ffff)),
    'says it dialled, twice': saying(DIALLED, DIALLED),
    'speaks HTTP in the clear': saying(DIALLED, Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')),
    floods: flooding(DIALLED),
    'says nothing': () => {},
    'says it dialled, and nothing more': saying(DIALLED),
    'drips its answer': dripping(head(4096)),
    'drips TLS': dripping(Buffer.concat([DIALLED, Uint8Array.of(0x16, 3, 3, 0x40, 0)]), 2),
  };
  test.each(Object.entries(RELAYS))('that %s: KMS is unavailable, in time, and asked as before', async (_, handler) => {
    const asked: CborValue[] = [];
    let relay: Handler = (connection) => {
      connection.once('data', (data: Buffer) => asked.push(decodeCbor(data.subarray(4), { maxBytes: 1024 })));
      handler(connection);
    };
    // Its limits are seconds; they are waited for in hundredths.
    const gate = await start((connection) => relay(connection), hurried);
    try {
      expect(await firstOf(gate)).toMatchObject({ refused: 'kms-unavailable' });
      const right = new Map<string, CborValue>([['t', 'dial'], ['host', 'kms.eu-west-1.accord.test'], ['port', 443]]); // prettier-ignore
      expect(asked.length).toBeGreaterThan(0);
      for (const question of asked) expect(question).toEqual(right);
    } finally {
      await gate.stop();
    }
    const next = await start((connection) => relay(connection));
    relay = await honest();
    expect(await firstOf(next)).toMatchObject({ t: 'authenticated' });
    await next.stop();
  });
});

describe('contributions', () => {
  let gate: TestGate;
  let right: Contribution;
  const offered = async (handler: Handler): Promise<unknown> => {
    gate = await startGate({ timers: hurried, world: await answeredBy({ [PORTS.blobs]: (socket) => handler(socket) }) }); // prettier-ignore
    right = await encryptModel(gate, testModel('m'));
    const bob = await gate.peer('bob');
    return bob.ask(right.request);
  };
  afterEach(() => gate.stop());
  const expectRefused = async (handler: Handler, refused: string): Promise<void> => {
    expect(await offered(handler)).toMatchObject({ refused });
    expect(gate.keyed.gate.models.sha256('classify')).toBeUndefined();
    expect((await gate.peer('bob')).first).toMatchObject({ t: 'authenticated' });
    expect(gate.lines.filter(({ accord }) => accord === 'fault')).toEqual([]);
  };
  const blob = (): Uint8Array => frame({ t: 'blob', bytes: right.blob.length });
  const whenAsked =
    (words: () => Uint8Array): Handler =>
    (connection) =>
      saying(words())(connection);

  test.each<readonly [string, Handler]>([
    ['with another frame behind it', whenAsked(() => Buffer.concat([blob(), right.blob, blob()]))],
    ['and then floods', (connection) => flooding(Buffer.concat([blob(), right.blob]))(connection)],
    ['cut into single bytes', (connection) => connection.once('data', () => void bytewise(connection, Buffer.concat([blob(), right.blob])))], // prettier-ignore
  ])('the right one %s is taken, and the rest is not read', async (_, handler) => {
    expect(await offered(handler)).toMatchObject({ t: 'contributed' });
    expect(gate.keyed.gate.models.sha256('classify')).toBeDefined();
  });

  test.each<readonly [string, Handler]>([
    ['of another length', whenAsked(() => frame({ t: 'blob', bytes: right.blob.length + 1 }))],
    ['of no bytes', whenAsked(() => frame({ t: 'blob', bytes: 0 }))],
    ['of more than any may have', whenAsked(() => frame({ t: 'blob', bytes: LIMITS.contributionBytes + 1 }))],
    ['with a name of its own', whenAsked(() => frame({ t: 'blob', bytes: right.blob.length, function: 'other' }))],
    ['that is announced and absent', whenAsked(() => Buffer.concat([frame({ t: 'absent', bytes: 1 }), right.blob]))],
    ['with its frame missing', whenAsked(() => right.blob)],
    ['that is shorter', (connection) => connection.once('data', () => connection.end(Buffer.concat([blob(), right.blob.subarray(9)])))], // prettier-ignore
    ['that is torn off', (connection) => connection.once('data', () => connection.write(Buffer.concat([blob(), right.blob.subarray(9)]), () => connection.destroy()))], // prettier-ignore
    ['that stops coming', whenAsked(() => Buffer.concat([blob(), right.blob.subarray(9)]))],
  ])('one %s is refused, in time, and nothing is in place', async (_, handler) => {
    await expectRefused(handler, 'contribution-mismatch');
  });

  // Another time it may come.
  test.each<readonly [string, Handler]>([
    ['that never comes', whenAsked(blob)],
    ['without an answer', () => {}],
    ['whose answer drips', dripping(head(4096))],
  ])('one %s is not there for now, and nothing is in place', async (_, handler) => {
    await expectRefused(handler, 'unavailable');
  });
});

async function bytewise(connection: Socket, bytes: Uint8Array): Promise<void> {
  for (const byte of bytes) if (!connection.write(Uint8Array.of(byte))) await once(connection, 'drain');
}
