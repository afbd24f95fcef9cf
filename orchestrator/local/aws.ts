/**
 * AWS in miniature: KMS, STS, IAM's users and S3 behind one TLS port, for the local hosts. Everything lies in one data folder, which one
 * process at a time may use; a restart finds keys, policies, grants and roots as they were.
 */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join, resolve } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { localRoot } from '../../parties/attestation/verify.ts';
import type { LockCode } from '../store/lock.ts';
import { lockDataFolder } from '../store/lock.ts';
import { initialState } from './accounts.ts';
import type { Services } from './answer.ts';
import { answerRequest } from './answer.ts';
import { clientEnvironment, configurationPaths, trustOf, writeConfiguration } from './configuration.ts';
import type { Place } from './configuration.ts';
import { liveKeys } from './kms/key-ids.ts';
import { recipientVerifier } from './kms/recipient.ts';
import type { AttestationIssuer } from './attestation-issuer.ts';
import { createAttestationIssuer } from './attestation-issuer.ts';
import type { LoggedRequest } from './request-log.ts';
import { openRequestLog } from './request-log.ts';
import type { StoreCode } from './store.ts';
import { openStore } from './store.ts';
import { openS3Store } from './s3/store.ts';
import type { Disturb } from './disturbance.ts';
import { openTls } from './tls.ts';
import type { LocalTrust } from '../../policies/model.ts';

export type LocalAwsCode = 'local-aws/port' | LockCode | StoreCode;

export interface LocalAwsOptions {
  readonly dataDir: string;
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
  /** For tests: which requests shall go wrong, and how. */
  readonly disturb?: Disturb;
}

export interface LocalAws {
  /** `https://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, AWS_ENDPOINT_URL, AWS_CA_BUNDLE, NODE_EXTRA_CA_CERTS. */
  environment(): Readonly<Record<string, string>>;
  /** The TLS root, PEM and DER. */
  readonly caPem: string;
  readonly caDer: Uint8Array;
  readonly trust: LocalTrust;
  readonly trustFile: string;
  /** Signs attestation documents under the root that this KMS believes; kept in `nsmDir`. */
  readonly issuer: AttestationIssuer;
  readonly nsmDir: string;
  /** The last thousand requests since the start, oldest first; `requests.jsonl` in the data folder has them all. */
  requests(): readonly LoggedRequest[];
  /** Resolves when nothing listens any more and everything is on disk. */
  close(): Promise<void>;
}

/** 2 MiB. The largest object S3 takes here (1 MiB) fits with its chunks' lengths and signatures; KMS takes less. */
const MAX_BODY = 2_097_152;

export async function startLocalAws(options: LocalAwsOptions): Promise<LocalAws> {
  const dataDir = resolve(options.dataDir);
  const now = options.now ?? Date.now;
  const lock = await lockDataFolder(dataDir);
  try {
    const store = await openStore(dataDir, () => initialState(now()));
    await store.change((state) => {
      // Keys whose waiting time has passed are erased, not only hidden.
      const keys = liveKeys(state, now());
      return [keys.length === state.keys.length ? state : { ...state, keys }, undefined];
    });
    const nsmDir = join(dataDir, 'nsm');
    const [tls, issuer, log, s3] = await Promise.all([
      openTls(dataDir, now()),
      createAttestationIssuer(nsmDir, { now }),
      openRequestLog(dataDir),
      openS3Store(dataDir),
    ]);
    const services: Services = {
      store,
      s3,
      log,
      now,
      verifyRecipient: recipientVerifier(localRoot(issuer.rootSha256)),
      disturb: options.disturb,
    };
    const server = createServer({ key: tls.key, cert: tls.certificate, minVersion: 'TLSv1.2' }, (request, response) => {
      void serve(request, response, services);
    });
    const host = options.host ?? '127.0.0.1';
    const port = await listen(server, host, options.port ?? 0);
    const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
    const place: Place = {
      dataDir,
      url,
      tls,
      attestationRootSha256: issuer.rootSha256,
      attestationRootPath: join(nsmDir, 'root.der'),
      nsmDir,
    };
    await writeConfiguration(place, store.current());
    return {
      url,
      port,
      dataDir,
      environment: () => clientEnvironment(place),
      caPem: tls.rootPem,
      caDer: tls.rootDer,
      trust: trustOf(place),
      trustFile: configurationPaths(dataDir).trust,
      issuer,
      nsmDir,
      requests: () => log.recent(),
      close: async () => {
        await stop(server);
        await log.flush();
        await store.settled();
        await lock.release();
      },
    };
  } catch (cause) {
    await lock.discard();
    throw cause;
  }
}

async function serve(request: IncomingMessage, response: ServerResponse, services: Services): Promise<void> {
  const body = await readBody(request).catch(() => undefined);
  if (body === undefined) {
    // Too long, or the client went away: there is nothing to verify a signature over.
    response.writeHead(413, { connection: 'close' }).end();
    return;
  }
  const answer = await answerRequest(
    {
      method: request.method ?? '',
      target: request.url ?? '/',
      rawHeaders: request.rawHeaders,
      body,
      sourceIp: (request.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    },
    services,
  );
  if (answer === undefined) {
    request.socket.destroy();
    return;
  }
  const { status, contentType, headers } = answer;
  response
    .writeHead(status, {
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
      ...(status === 204 ? {} : { 'content-length': Buffer.byteLength(answer.body) }),
      ...headers,
    })
    .end(request.method === 'HEAD' ? undefined : answer.body);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('a chunk of text');
    length += chunk.length;
    if (length > MAX_BODY) throw new RangeError('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((listening, failed) => {
    server.once('error', (cause: NodeJS.ErrnoException) => failed(cannotListen(cause, host, port)));
    server.listen(port, host, listening);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function cannotListen(cause: NodeJS.ErrnoException, host: string, port: number): Failure<LocalAwsCode> {
  const inUse = cause.code === 'EADDRINUSE';
  return new Failure(
    'environment',
    'local-aws/port',
    inUse ? `port ${port} is in use` : `cannot listen on port ${port}: ${cause.message}`,
    {
      where: `${host}:${port}`,
      hint: inUse
        ? 'stop what listens there, or choose another with --port (0 takes a free one)'
        : 'choose another --port',
      cause,
    },
  );
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((done) => {
    server.close(() => done());
  });
  server.closeIdleConnections();
  const force = setTimeout(() => server.closeAllConnections(), 2000);
  await closed;
  clearTimeout(force);
}
