/** What the host keeps for the enclave, and the ways in which it may answer. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { frameReader, writeFrame } from '../../../enclave/protocol/frame.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { hostRecordStore } from '../../../enclave/state/record-store.ts';
import type { Host, StoredBytes } from '../../../enclave/vsock/host.ts';
import { createHost } from '../../../enclave/vsock/host.ts';
import { PORTS } from '../../../enclave/vsock/socket.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { expectSameBytes } from '../../same-bytes.ts';
import type { Listening } from '../../orchestrator/relay/pair.ts';
import { listening } from '../../orchestrator/relay/pair.ts';
import { realTimers } from '../real-timers.ts';

const open: Listening[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

type Question = ReadonlyMap<CborValue, CborValue>;
type Answer = Readonly<Record<string, CborValue>>;

interface Exchange {
  readonly question: Question;
  readonly socket: Socket;
  readonly say: (answer: Answer) => Promise<void>;
  /** So many raw bytes of what follows the question. */
  readonly take: (bytes: number) => Promise<Buffer>;
}

/** A host whose ports all do this. A hundred times faster than the clock where its limits are waited for. */
async function hostThat(does: (exchange: Exchange) => Promise<void>): Promise<{ host: Host; dialled: number[] }> {
  const dialled: number[] = [];
  const served = await listening((socket) => {
    socket.on('error', () => {});
    const serve = async (): Promise<void> => {
      const body = await frameReader(socket, 65_536).readFrame();
      const question = body === undefined ? undefined : decodeCbor(body, { maxBytes: 65_536 });
      if (!(question instanceof Map)) throw new Error('no question');
      const say = (answer: Answer): Promise<void> =>
        writeFrame(socket, encodeCbor(new Map<string, CborValue>(Object.entries(answer))));
      const take = async (bytes: number): Promise<Buffer> => {
        const parts: Buffer[] = [];
        for (let left = bytes; left > 0;) {
          const part: unknown = socket.read(Math.min(left, Math.max(1, socket.readableLength)));
          if (part instanceof Buffer) {
            parts.push(part);
            left -= part.length;
          } else await once(socket, 'readable');
        }
        return Buffer.concat(parts);
      };
      await does({ question, socket, say, take });
    };
    serve().catch(() => socket.destroy());
  });
  open.push(served);
  const vsock = {
    listen: () => Promise.reject(new Error('not here')),
    dial: (port: number) => {
      dialled.push(port);
      return served.dial();
    },
  };
  return { host: createHost(vsock, (milliseconds, run) => realTimers(milliseconds / 100, run)), dialled };
}

const { signal } = new AbortController();
const stored = (...parts: readonly Uint8Array[]): StoredBytes => {
  const whole = Buffer.concat(parts);
  return { sha256: new Uint8Array(createHash('sha256').update(whole).digest()), bytes: whole.length, parts };
};
const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
const blob =
  (content: Uint8Array, announced = content.length) =>
  async ({ say, socket }: Exchange): Promise<void> => {
    await say({ t: 'blob', bytes: announced });
    socket.write(content);
  };

describe('a host that keeps its word', () => {
  test('stores records of any size under their hash, and gives them back', async () => {
    const kept = new Map<string, Buffer>();
    const { host, dialled } = await hostThat(async ({ question, say, take, socket }) => {
      const name = question.get('sha256');
      const sha256 = name instanceof Uint8Array ? toHex(name) : '';
      if (question.get('t') === 'record-put') {
        kept.set(sha256, await take(Number(question.get('bytes'))));
        await say({ t: 'stored' });
      } else {
        const found = kept.get(sha256);
        await say(found === undefined ? { t: 'absent' } : { t: 'blob', bytes: found.length });
        socket.write(found ?? '');
      }
    });
    const store = hostRecordStore(host);
    for (const size of [1, 1_000, 3_000_000]) {
      const record = stored(random(size), random(16));
      expect(await store.get(record.sha256, signal)).toBeUndefined();
      await store.put(record, signal);
      expectSameBytes((await store.get(record.sha256, signal)) ?? new Uint8Array(0), Buffer.concat(record.parts));
    }
    expect(new Set(dialled)).toEqual(new Set([PORTS.blobs]));
  });

  test('is asked for keys, policies and credentials in the words of the protocol', async () => {
    const asked: unknown[] = [];
    const { host, dialled } = await hostThat(async ({ question, say }) => {
      asked.push(Object.fromEntries(question));
      await say({ t: 'absent' });
    });
    const digest = await policyDigest('x');
    expect(await host.keys(signal)).toBeUndefined();
    expect(await host.policy(digest, signal)).toBeUndefined();
    expect(await host.credentials(signal)).toBeUndefined();
    expect(asked).toEqual([{ t: 'keys-get' }, { t: 'policy-get', digest }, { t: 'credentials' }]);
    expect(dialled).toEqual([PORTS.blobs, PORTS.blobs, PORTS.launch]);
  });

  test('lends its credentials', async () => {
    const given = { accessKeyId: 'ASIA', secretAccessKey: 's', sessionToken: 't', expiresAt: 1_800_000_000_000 };
    const { host } = await hostThat(({ say }) => say({ t: 'credentials', ...given }));
    expect(await host.credentials(signal)).toEqual(given);
  });
});

describe('a host that does not', () => {
  const RECORD = stored(random(500_000));
  const REFUSED: Readonly<
    Record<string, readonly [(exchange: Exchange) => Promise<void>, (host: Host) => Promise<unknown>, string]>
  > = {
    'has no room': [
      async ({ take, say }) => {
        await take(500_000);
        await say({ t: 'refused', reason: 'disk\u0007 full' });
      },
      (host) => host.putRecord(RECORD, signal),
      'host/not-stored',
    ],
    'hangs up while it is given a record': [
      async ({ socket }) => void socket.destroy(),
      (host) => host.putRecord(RECORD, signal),
      'frame/closed',
    ],
    'takes a record and says nothing': [
      async ({ take }) => void (await take(500_000)),
      (host) => host.putRecord(RECORD, signal),
      'deadline/passed',
    ],
    'takes nothing at all': [
      async () => {},
      (host) => host.putRecord(stored(random(5_000_000)), signal),
      'deadline/passed',
    ],
    'says something else': [
      async ({ take, say }) => {
        await take(500_000);
        await say({ t: 'thanks' });
      },
      (host) => host.putRecord(RECORD, signal),
      'host/malformed',
    ],
    'hands over less than it announced': [
      async (exchange) => {
        await blob(random(100), 101)(exchange);
        exchange.socket.end();
      },
      (host) => host.record(random(32), signal),
      'host/blob-length',
    ],
    'announces more than a record may have': [
      blob(random(1), LIMITS.sealedRecordBytes + 1),
      (host) => host.record(random(32), signal),
      'host/malformed',
    ],
    'announces more than keys may have': [
      blob(random(1), LIMITS.keySetBytes + 1),
      (host) => host.keys(signal),
      'host/malformed',
    ],
    'announces nothing': [blob(new Uint8Array(0)), (host) => host.keys(signal), 'host/malformed'],
    'stops in the middle': [blob(random(10), 20), (host) => host.record(random(32), signal), 'deadline/passed'],
    'lends credentials that are none': [
      ({ say }) => say({ t: 'credentials', accessKeyId: '', secretAccessKey: 's', sessionToken: 't', expiresAt: 1 }),
      (host) => host.credentials(signal),
      'host/malformed',
    ],
    'lends credentials and adds something': [
      ({ say }) =>
        say({ t: 'credentials', accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't', expiresAt: 1, role: 'x' }),
      (host) => host.credentials(signal),
      'host/malformed',
    ],
  };
  test.each(Object.entries(REFUSED))('%s', async (_, [does, asks, code]) => {
    const { host } = await hostThat(does);
    await expect(asks(host)).rejects.toMatchObject({ code });
  });

  test('its words do not reach a terminal', async () => {
    const { host } = await hostThat(async ({ take, say }) => {
      await take(500_000);
      await say({ t: 'refused', reason: 'a\u001b[2Jb' });
    });
    await expect(host.putRecord(RECORD, signal)).rejects.toThrow(/: a \[2Jb$/);
  });

  test('more than was announced is not taken for content', async () => {
    const { host } = await hostThat(blob(random(50), 20));
    expect(await host.record(random(32), signal)).toHaveLength(20);
  });
});
