/** The host that does as a test tells it: what it keeps, hands back, holds back and exchanges. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { decodeCbor, encodeCbor, mapReader } from '../../enclave/encoding/cbor.ts';
import type { CborValue, MapReader } from '../../enclave/encoding/cbor.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { frameReader, writeFrame } from '../../enclave/protocol/frame.ts';
import type { HostCredentials } from '../../enclave/vsock/host.ts';
import { PORTS } from '../../enclave/vsock/socket.ts';
import { giveContribution, noteTaken } from '../../orchestrator/relay/contributions.ts';
import type { ContributionKeeper } from '../../orchestrator/relay/contributions.ts';
import { createNotebook } from '../../orchestrator/relay/observations.ts';

/** What outlives an enclave: give the same to two of them, and the second is the first one's restart, or its copy. */
export interface HostStorage {
  /** What is stored for a function, or as `anchor.<party>`; undefined: absent. */
  readonly blobs: Map<string, Uint8Array>;
  /** By SHA-256, hex. */
  readonly records: Map<string, Uint8Array>;
  keySet: Uint8Array | undefined;
  /** By digest. */
  readonly policies: Map<string, string>;
  /** Keeps contributions in the place of `blobs`, as the orchestrator does. */
  keeper: ContributionKeeper | undefined;
}

/** Answers of the host to the enclave's questions; each can be replaced while the gate runs. */
export interface ScriptedHost extends HostStorage {
  keyArns: readonly string[];
  roots: readonly Uint8Array[];
  credentials: HostCredentials | undefined;
  /** The bytes announced and sent for a contribution, where they are not the blob's own. */
  serveBlob: ((connection: Socket, blob: Uint8Array | undefined) => void) | undefined;
  /** Why it keeps no more records, in its own words; undefined where it does. */
  keepsNothing: string | undefined;
}

export function createHostStorage(): HostStorage {
  return { blobs: new Map(), records: new Map(), keySet: undefined, policies: new Map(), keeper: undefined };
}

/** A host with this storage: what is written to one is seen in the other. */
export function createScriptedHost(
  storage: HostStorage,
  launch: Pick<ScriptedHost, 'keyArns' | 'roots'>,
): ScriptedHost {
  return {
    ...launch,
    blobs: storage.blobs,
    records: storage.records,
    policies: storage.policies,
    get keySet() {
      return storage.keySet;
    },
    set keySet(bytes) {
      storage.keySet = bytes;
    },
    get keeper() {
      return storage.keeper;
    },
    set keeper(keeper) {
      storage.keeper = keeper;
    },
    credentials: undefined,
    serveBlob: undefined,
    keepsNothing: undefined,
  };
}

/** The host's ports: 8001, 8002, and 8000 where a test has something to put there. */
export async function serveHost(
  folder: string,
  host: ScriptedHost,
  outbound: ((connection: Socket) => void) | undefined,
): Promise<() => Promise<void>> {
  const open = new Set<Socket>();
  const listen = async (port: number, handle: (socket: Socket) => void): Promise<() => void> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => open.delete(socket));
      handle(socket);
    });
    server.listen(join(folder, `host-${port}.sock`));
    await once(server, 'listening');
    return () => server.close();
  };
  const asked =
    (answer: (socket: Socket, question: MapReader) => Promise<void>) =>
    (socket: Socket): void => {
      const serve = async (): Promise<void> => {
        const body = await frameReader(socket, 1024).readFrame();
        if (body === undefined) return;
        await answer(socket, mapReader(decodeCbor(body, { maxBytes: 1024 }), 'test/malformed'));
      };
      serve().catch(() => socket.destroy());
    };
  const servers = [
    await listen(
      PORTS.launch,
      asked((socket, question) => {
        const { keyArns, roots, credentials } = host;
        if (question.oneOf('t', ['launch', 'credentials']) === 'launch')
          return say(socket, { t: 'launch', keyArns, roots });
        return say(socket, credentials === undefined ? { t: 'absent' } : { t: 'credentials', ...credentials });
      }),
    ),
    await listen(
      PORTS.blobs,
      asked((socket, question) => answerBlob(host, socket, question)),
    ),
    ...(outbound === undefined ? [] : [await listen(PORTS.outbound, outbound)]),
  ];
  return async () => {
    for (const close of servers) close();
    for (const socket of open) socket.destroy();
  };
}

const QUESTIONS = [
  'contribution',
  'contribution-taken',
  'record-put',
  'record-get',
  'keys-put',
  'keys-get',
  'policy-get',
] as const;

const NOTEBOOK = createNotebook(() => 0);

async function answerBlob(host: ScriptedHost, socket: Socket, question: MapReader): Promise<void> {
  const give = async (blob: Uint8Array | undefined): Promise<void> => {
    if (blob === undefined) return say(socket, { t: 'absent' });
    await say(socket, { t: 'blob', bytes: blob.length });
    socket.write(blob);
  };
  const hash = (): string => toHex(question.bytes('sha256', { exact: 32 }));
  const take = async (keep: (whole: Uint8Array, name: string) => void): Promise<void> => {
    const [name, parts] = [hash(), new Array<Buffer>()];
    let left = question.uint('bytes');
    for await (const part of socket.iterator({ destroyOnReturn: false })) {
      if (!Buffer.isBuffer(part)) break;
      parts.push(part);
      left -= part.length;
      if (left <= 0) break;
    }
    const whole = new Uint8Array(Buffer.concat(parts));
    const isNamed = createHash('sha256').update(whole).digest('hex') === name;
    const reason = isNamed ? host.keepsNothing : 'another SHA-256';
    if (reason === undefined) keep(whole, name);
    await say(socket, reason === undefined ? { t: 'stored' } : { t: 'refused', reason });
  };
  const t = question.oneOf('t', QUESTIONS);
  switch (t) {
    case 'contribution': {
      if (host.keeper !== undefined) return giveContribution(socket, question, host.keeper, NOTEBOOK);
      if (question.has('earlier') && question.boolean('earlier')) return give(undefined);
      const blob = host.blobs.get(question.text('function', { max: 256 }));
      return host.serveBlob === undefined ? give(blob) : host.serveBlob(socket, blob);
    }
    case 'contribution-taken':
      if (host.keeper !== undefined) return noteTaken(socket, question, host.keeper, NOTEBOOK);
      return say(socket, { t: 'stored' });
    case 'record-get':
      return give(host.records.get(hash()));
    case 'record-put':
      return take((whole, name) => host.records.set(name, whole));
    case 'keys-get':
      return give(host.keySet);
    case 'keys-put':
      return take((whole) => (host.keySet = whole));
    case 'policy-get': {
      const text = host.policies.get(question.text('digest', { max: 96 }));
      return give(text === undefined ? undefined : new TextEncoder().encode(text));
    }
  }
}

function say(socket: Socket, answer: Readonly<Record<string, CborValue>>): Promise<void> {
  return writeFrame(socket, encodeCbor(new Map(Object.entries(answer))));
}
