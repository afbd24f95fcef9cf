/**
 * The composition root of the orchestrator: takes the data folder's lock, opens what is in it, and serves. Everything
 * it starts it ends, in reverse order.
 *
 *     <data>/lock.<n>.sock, owner.json   the lock
 *     <data>/database/                   PGlite
 *     <data>/blobs/                      contributions: ciphertext, by SHA-256
 *     <data>/records/<id>/               what enclaves sealed: ciphertext, by SHA-256, never removed
 *     <data>/images/<id>/image.eif       what was built
 *     <data>/run/                        running enclaves (elsewhere if a node_modules stands above)
 */
import { realpath } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { defaultCacheDir } from '../build/cache.ts';
import { createApp } from './app.ts';
import { builderFor } from './builder.ts';
import type { EifImageOptions } from './builder.ts';
import { openCollaborations } from './collaborations.ts';
import { openContributions } from './contributions.ts';
import type { NitroHostOptions } from './hosts/nitro.ts';
import type { HostName } from './hosts/names.ts';
import { openHost } from './hosts/open.ts';
import { toProblem, sendProblem } from './problem.ts';
import type { FindCredentials } from './relay/launch-information.ts';
import { listen, stopServer, urlOf } from './server.ts';
import { openBlobs } from './store/blobs.ts';
import { lockDataFolder } from './store/lock.ts';
import { openPGlite } from './store/pglite.ts';
import { openRecords } from './store/records.ts';
import { createSqlStore } from './store/sql-store.ts';
import { Failure } from '../policies/failure.ts';

export interface OrchestratorOptions {
  readonly dataFolder: string;
  /** Where enclaves run. Default: `local`. */
  readonly host?: HostName;
  /** Folder of a running `accord local-aws`: needed by the local and the qemu host, refused by the nitro host. */
  readonly localAwsFolder?: string | undefined;
  readonly port: number;
  readonly address: string;
  /** Where enclaves are unpacked and run; by default below the data folder, or the system's temporary folder. */
  readonly runFolder?: string | undefined;
  /** How images for the qemu and the nitro host are made. */
  readonly image?: EifImageOptions;
  /** Of the nitro host alone. */
  readonly nitro?: Partial<NitroHostOptions>;
  /** Default: the user's. */
  readonly cacheDir?: string;
  readonly validateResponses?: boolean;
  /** The host's own role, lent to its enclaves. Default: nothing is lent. */
  readonly findCredentials?: FindCredentials | undefined;
  readonly now: () => Date;
  readonly log: (line: string) => void;
}

export interface Orchestrator {
  readonly url: string;
  /** Ends sessions, enclaves, builds and the store; resolves when nothing is left. */
  close(): Promise<void>;
}

export type StartCode = 'orchestrator/starting';

const STOP_MS = 2_000;

export async function startOrchestrator(options: OrchestratorOptions): Promise<Orchestrator> {
  const { dataFolder, now, log } = options;
  let isServing = false;
  const undo: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const lock = await lockDataFolder(dataFolder);
    undo.push(() => (isServing ? lock.release() : lock.discard()));
    const data = await realpath(dataFolder);
    const { runFolder, localAwsFolder, nitro } = options;
    const cacheDir = options.cacheDir ?? defaultCacheDir(process.env);
    const name = options.host ?? 'local';
    const opened = await openHost({ name, data, localAwsFolder, runFolder, cacheDir, log, nitro });
    undo.push(() => opened.close());

    // The port before the store: that it is taken should be told at once, not after the database has started.
    let handler: RequestListener = (_request, response) => sendProblem(response, toProblem(starting()));
    const server = await listen((request, response) => handler(request, response), options);
    undo.push(() => stopServer(server, STOP_MS));

    const store = await createSqlStore(await openPGlite(join(data, 'database'), lock), now);
    undo.push(() => store.close());
    const contributions = await openContributions({ store, blobs: await openBlobs(join(data, 'blobs')), log });
    undo.push(() => contributions.close());

    const collaborations = await openCollaborations({
      store,
      contributions,
      records: await openRecords(join(data, 'records')),
      findCredentials: options.findCredentials ?? (async () => undefined),
      builder: builderFor(name, { cacheDir, ...options.image }),
      host: opened.host,
      attestationRoot: opened.attestationRoot,
      imagesFolder: join(data, 'images'),
      localAws: opened.localAws,
      now,
      log,
    });
    const app = createApp({
      collaborations,
      contributions,
      listensOn: options.address,
      validateResponses: options.validateResponses ?? false,
      onBug: (error) => log(`unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    });
    // Nothing new comes in while what runs is being stopped.
    undo.push(async () => {
      app.close();
      await Promise.all([stopServer(server, STOP_MS), collaborations.close()]);
    });
    handler = app.http;
    server.on('upgrade', app.upgrade);
    isServing = true;
    return { url: urlOf(server), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function starting(): Failure<StartCode> {
  return new Failure('environment', 'orchestrator/starting', 'the orchestrator is starting', {
    hint: 'try again in a moment',
  });
}
