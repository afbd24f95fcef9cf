/**
 * The composition root of the orchestrator: takes the data folder's lock, opens what is in it, and serves. Everything
 * it starts it ends, in reverse order.
 *
 *     <data>/lock.<n>.sock, owner.json   the lock
 *     <data>/database/                   PGlite
 *     <data>/blobs/                      contributions: ciphertext, by SHA-256
 *     <data>/images/<id>/image.eif       what was built
 *     <data>/run/                        running enclaves (elsewhere if a node_modules stands above)
 */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from './app.ts';
import { createImageBuilder } from './builder.ts';
import { openCollaborations } from './collaborations.ts';
import { openContributions } from './contributions.ts';
import { createLocalHost } from './hosts/local.ts';
import { nodeModulesAbove } from './hosts/run-folder.ts';
import { findLocalAws } from './local-aws-place.ts';
import { createAttestationIssuer } from './local/attestation-issuer.ts';
import { toProblem, sendProblem } from './problem.ts';
import { listen, stopServer, urlOf } from './server.ts';
import { openBlobs } from './store/blobs.ts';
import { lockDataFolder } from './store/lock.ts';
import { openPGlite } from './store/pglite.ts';
import { createSqlStore } from './store/sql-store.ts';
import { Failure } from '../policies/failure.ts';

export interface OrchestratorOptions {
  readonly dataFolder: string;
  /** Folder of a running `accord local-aws`. */
  readonly localAwsFolder: string;
  readonly port: number;
  readonly address: string;
  /** Where enclaves are unpacked and run; by default below the data folder, or the system's temporary folder. */
  readonly runFolder?: string | undefined;
  readonly validateResponses?: boolean;
  readonly now: () => Date;
  readonly log: (line: string) => void;
}

export interface Orchestrator {
  readonly url: string;
  /** Ends sessions, enclaves, builds and the store; resolves when nothing is left. */
  close(): Promise<void>;
}

export type StartCode = 'orchestrator/starting';

/** The host of the local trial: an account that owns nothing the parties have. */
const LOCAL_HOST_ROLE = 'arn:aws:iam::999900001111:role/accord-host';
const STOP_MS = 2_000;

export async function startOrchestrator(options: OrchestratorOptions): Promise<Orchestrator> {
  const { dataFolder, now, log } = options;
  const undo: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const localAws = await findLocalAws(options.localAwsFolder);
    const lock = await lockDataFolder(dataFolder);
    undo.push(() => lock.release());
    const data = await realpath(dataFolder);

    // The port first: that it is taken should be told at once, not after the database has started.
    let handler: RequestListener = (_request, response) => sendProblem(response, toProblem(starting()));
    const server = await listen((request, response) => handler(request, response), options);
    undo.push(() => stopServer(server, STOP_MS));

    const store = await createSqlStore(await openPGlite(join(data, 'database'), lock), now);
    undo.push(() => store.close());
    const contributions = await openContributions({ store, blobs: await openBlobs(join(data, 'blobs')), log });
    undo.push(() => contributions.close());

    const issuer = await createAttestationIssuer(localAws.nsmFolder);
    const host = createLocalHost({
      runFolder: options.runFolder ?? runFolderFor(data),
      issuer,
      instanceId: instanceIdOf(data),
      roleArn: LOCAL_HOST_ROLE,
    });
    const collaborations = await openCollaborations({
      store,
      contributions,
      builder: createImageBuilder(),
      host,
      attestationRoot: issuer.rootSha256,
      imagesFolder: join(data, 'images'),
      localAws,
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
    return { url: urlOf(server), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** `i-` and 17 hex digits, the same for the same folder, so that PCR4 stays. */
function instanceIdOf(data: string): string {
  return `i-${createHash('sha256').update(data).digest('hex').slice(0, 17)}`;
}

function runFolderFor(data: string): string {
  if (nodeModulesAbove(data) === undefined) return join(data, 'run');
  return join(tmpdir(), `accord-${process.getuid?.() ?? 'run'}`);
}

function starting(): Failure<StartCode> {
  return new Failure('environment', 'orchestrator/starting', 'the orchestrator is starting', {
    hint: 'try again in a moment',
  });
}
