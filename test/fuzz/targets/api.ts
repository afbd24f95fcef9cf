/**
 * The orchestrator's HTTP interface: whole requests as bytes, from its OpenAPI document and from nowhere, to the real
 * application with its store. Every one is answered, and none with an error that nobody expected.
 */
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../../../orchestrator/app.ts';
import type { DialCode } from '../../../orchestrator/hosts/dial.ts';
import { openCollaborations } from '../../../orchestrator/collaborations.ts';
import { openContributions } from '../../../orchestrator/contributions.ts';
import { listen, stopServer, urlOf } from '../../../orchestrator/server.ts';
import { openBlobs } from '../../../orchestrator/store/blobs.ts';
import { lockDataFolder } from '../../../orchestrator/store/lock.ts';
import { openPGlite } from '../../../orchestrator/store/pglite.ts';
import { openRecords } from '../../../orchestrator/store/records.ts';
import { createSqlStore } from '../../../orchestrator/store/sql-store.ts';
import { Failure } from '../../../policies/failure.ts';
import { Broken, demand } from '../target.ts';
import type { Target } from '../target.ts';
import { requests, SCREENING, WORDS } from './api-requests.ts';
import { mendReply, varyReply } from './http-replies.ts';
import { varyJson } from '../trees.ts';

const PCRS = { PCR0: '1'.repeat(96), PCR1: '2'.repeat(96), PCR2: '3'.repeat(96) };
/** A store that has grown so much is made anew. */
const MOST_CREATED = 200;
const ANSWER_MS = 15_000;

export async function open(): Promise<Target> {
  let service = await start();
  return {
    codes: new Set(),
    seeds: requests.seeds(service.id),
    built: requests.built(service.id),
    vary: varyReply(varyJson),
    repair: mendReply,
    words: WORDS,
    limitMs: 10_000,
    limitBytes: () => 64 * 1024 * 1024,
    async run(input) {
      const answer = await ask(service.port, input);
      const [bug] = service.bugs.splice(0);
      if (bug !== undefined) throw bug;
      const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
      if (status === undefined) return answer === '' ? 'closed without an answer' : 'answered otherwise';
      demand(status !== '500', `500: ${answer.slice(0, 500)}`);
      if (status === '201') service.created += 1;
      if (service.created > MOST_CREATED) {
        await service.close();
        service = await start();
      }
      const code = /"code":"([a-z/-]+)"/.exec(answer)?.[1];
      return code === undefined ? status : `${status} ${code}`;
    },
    close: () => service.close(),
  };
}

interface Service {
  readonly port: number;
  readonly id: string;
  readonly bugs: unknown[];
  created: number;
  close(): Promise<void>;
}

/** With hosts and images that cost nothing; all else is what `accord up` starts. */
async function start(): Promise<Service> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-fuzz-api-')));
  const lock = await lockDataFolder(join(folder, 'data'));
  const now = (): Date => new Date();
  const store = await createSqlStore(await openPGlite(join(folder, 'data', 'database'), lock), now);
  const contributions = await openContributions({
    store,
    blobs: await openBlobs(join(folder, 'blobs')),
    log: () => {},
  });
  const collaborations = await openCollaborations({
    store,
    contributions,
    records: await openRecords(join(folder, 'records')),
    findCredentials: async () => undefined,
    builder: {
      async build(_policy, into) {
        await writeFile(join(into, 'image.eif'), 'image');
        return { measurements: PCRS, sizing: { memoryMiB: 1 } };
      },
      close: async () => {},
    },
    host: {
      name: 'local',
      async launch() {
        let end: (how: { readonly reason: string; readonly exitCode: number | null }) => void = () => {};
        const ended = new Promise<{ readonly reason: string; readonly exitCode: number | null }>(
          (resolve) => (end = resolve),
        );
        return {
          describe: () => ({ id: 'e', host: 'local', measurements: PCRS, state: { phase: 'running' } }),
          connect: () => Promise.reject(new Failure<DialCode>('environment', 'host/not-listening', 'nobody is inside')),
          console: () => ['line'],
          terminate: async () => end({ reason: 'stopped', exitCode: 0 }),
          ended,
        };
      },
    },
    attestationRoot: undefined,
    imagesFolder: join(folder, 'images'),
    localAws: undefined,
    now,
    log: () => {},
  });
  const bugs: unknown[] = [];
  const app = createApp({ collaborations, contributions, listensOn: '127.0.0.1', validateResponses: true, onBug: (bug) => void bugs.push(bug) }); // prettier-ignore
  const server: Server = await listen(app.http, { port: 0, address: '127.0.0.1' });
  server.on('upgrade', app.upgrade);
  const { collaboration } = await collaborations.create(SCREENING);
  return {
    port: Number(new URL(urlOf(server)).port),
    id: collaboration.id,
    bugs,
    created: 0,
    async close() {
      app.close();
      await Promise.all([stopServer(server, 500), collaborations.close()]);
      await contributions.close();
      await store.close();
      await lock.release();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What came back until the connection closed, or until an answer without an end had begun. */
function ask(port: number, request: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1');
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Broken(`no answer within ${ANSWER_MS} ms`));
    }, ANSWER_MS);
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (chunk) => {
      answer += String(chunk);
      if (/text\/event-stream|101 Switching/.test(answer) || isWhole(answer)) done();
    });
    socket.on('error', done);
    socket.on('close', done);
    socket.end(request);
  });
}

function isWhole(answer: string): boolean {
  const end = answer.indexOf('\r\n\r\n');
  const length = /content-length: (\d+)/i.exec(answer.slice(0, end))?.[1];
  return end >= 0 && length !== undefined && Buffer.byteLength(answer.slice(end + 4)) >= Number(length);
}
