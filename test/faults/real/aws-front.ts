/**
 * AWS as the enclaves reach it: a loopback proxy in the place of the local AWS, under its certificate. It hands S3's
 * requests for some buckets to moto and everything else to the local AWS; and where it is told to, it does to them what
 * networks and services do: no answer, an error in place of the request, an error or a hang-up after the request was done,
 * a request that arrives late, twice, or once more long after.
 */
import { setMaxListeners } from 'node:events';
import { Agent as TlsAgent, createServer, request as tlsRequest } from 'node:https';
import { Agent, request as plainRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomically } from '../../../orchestrator/local/files.ts';
import type { Prng } from '../simulation/prng.ts';
import type { Tally } from './tally.ts';

export interface AwsFront {
  /** To be called whenever the local AWS has started: the orchestrator is told that it is here. */
  standBefore(awsFolder: string, url: string): Promise<void>;
  /** Requests for this bucket go to moto. */
  toMoto(bucket: string, url: string): void;
  /** No request for that bucket gets an answer, or any connection, until it is mended. */
  cut(place: string): void;
  mend(place: string): void;
  /** For so long, misfortunes befall requests for that bucket, or for `kms`. Milliseconds. */
  unsettle(place: string, ms: number, random: Prng): void;
  close(): Promise<void>;
}

type Misfortune = 'none' | 'refused' | 'hung up' | 'late' | 'too late' | 'error after' | 'hung up after' | 'twice' | 'again later'; // prettier-ignore

const ON_READS: readonly Misfortune[] = ['none', 'none', 'refused', 'hung up', 'late', 'hung up after'];
const ON_WRITES: readonly Misfortune[] = [
  'none',
  'refused',
  'hung up',
  'late',
  'too late',
  'error after',
  'error after',
  'hung up after',
  'twice',
  'again later',
];
const LATE_MS = 1_500;
/** An enclave gives a request to S3 five seconds. */
const TOO_LATE_MS = 5_500;
const AGAIN_MS = 4_000;

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

interface Reply {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export async function openAwsFront(awsFolder: string, tally: Tally): Promise<AwsFront> {
  const [key, ...chain] = await Promise.all(
    ['server.key', 'server.pem', 'root.pem'].map((name) => readFile(join(awsFolder, 'tls', name), 'utf8')),
  );
  const agents = { tls: new TlsAgent({ keepAlive: true, rejectUnauthorized: false }), plain: new Agent({ keepAlive: true }) }; // prettier-ignore
  let aws = new URL('https://127.0.0.1:1');
  const motoOf = new Map<string, URL>();
  const isCut = new Set<string>();
  const unsettled = new Map<string, { readonly until: number; readonly random: Prng }>();
  const over = new AbortController();
  setMaxListeners(0, over.signal);

  const forward = (place: string, sent: Request): Promise<Reply> => {
    const moto = motoOf.get(place);
    const target = moto ?? aws;
    const { method, path } = sent;
    const at = { host: target.hostname, port: target.port, method, path };
    const headers = moto === undefined ? sent.headers : withHost(sent.headers, moto.host);
    return new Promise((resolve, reject) => {
      const asked =
        moto === undefined
          ? tlsRequest({ ...at, headers: [...headers], agent: agents.tls })
          : plainRequest({ ...at, headers: [...headers], agent: agents.plain });
      asked.once('error', reject);
      asked.once('response', (response) => {
        bodyOf(response).then(
          (body) => resolve({ status: response.statusCode ?? 500, headers: response.rawHeaders, body }),
          reject,
        );
      });
      asked.end(sent.body);
    });
  };

  /** With how late what is late is: 0 to 1. */
  const misfortuneOf = (place: string, isWrite: boolean): readonly [Misfortune, number] => {
    const weather = unsettled.get(place);
    if (weather === undefined || weather.until < performance.now()) return ['none', 0];
    return [weather.random.pick(isWrite ? ON_WRITES : ON_READS), weather.random.next()];
  };

  const answered = async (place: string, sent: Request): Promise<Reply | undefined> => {
    if (isCut.has(place)) return undefined;
    const isWrite = sent.method === 'PUT';
    const what = place === 'kms' ? 'a request to KMS' : isWrite ? 'a write to S3' : 'a reading of S3';
    const [misfortune, late] = misfortuneOf(place, isWrite);
    if (misfortune !== 'none') tally.count(`${what}: ${misfortune}`);
    switch (misfortune) {
      case 'none':
        return forward(place, sent);
      case 'refused':
        return ERROR;
      case 'hung up':
        return undefined;
      case 'late':
      case 'too late':
        await sleep(misfortune === 'late' ? LATE_MS * late : TOO_LATE_MS, undefined, { signal: over.signal });
        return forward(place, sent);
      case 'error after':
        await forward(place, sent);
        return ERROR;
      case 'hung up after':
        await forward(place, sent);
        return undefined;
      case 'twice': {
        const [reply] = await Promise.all([forward(place, sent), forward(place, sent)]);
        return reply;
      }
      case 'again later': {
        const reply = await forward(place, sent);
        const again = sleep(AGAIN_MS * late, undefined, { signal: over.signal, ref: false });
        void again.then(() => forward(place, sent)).catch(() => {});
        return reply;
      }
    }
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = 'GET', url: path = '/', rawHeaders: headers } = request;
    const body = await bodyOf(request);
    const reply = await answered(placeOf(request), { method, path, headers, body });
    if (reply === undefined) request.socket.destroy();
    else response.writeHead(reply.status, [...withoutFraming(reply.headers)]).end(reply.body);
  };
  const server = createServer({ key, cert: chain.join('\n') }, (request, response) => {
    // Where AWS does not answer, neither does this.
    serve(request, response).catch(() => request.socket.destroy());
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const url = `https://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;

  return {
    async standBefore(folder, awsUrl) {
      aws = new URL(awsUrl);
      const file = join(folder, 'local-aws.json');
      const description: unknown = JSON.parse(await readFile(file, 'utf8'));
      await writeAtomically(file, JSON.stringify({ ...Object(description), url }));
    },
    toMoto: (bucket, motoUrl) => void motoOf.set(bucket, new URL(motoUrl)),
    cut: (place) => void isCut.add(place),
    mend: (place) => void isCut.delete(place),
    unsettle: (place, ms, random) => void unsettled.set(place, { until: performance.now() + ms, random }),
    async close() {
      over.abort();
      agents.tls.destroy();
      agents.plain.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const ERROR: Reply = {
  status: 500,
  headers: ['Content-Type', 'application/xml'],
  body: Buffer.from(
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>',
  ),
};

/** The bucket of a request to S3, whose name stands in the path; else the service: `kms.eu-west-1.accord.test`. */
function placeOf({ headers, url = '/' }: IncomingMessage): string {
  const service = headers.host?.split('.')[0] ?? '';
  return service === 's3' ? (/^\/([^/?]*)/.exec(url)?.[1] ?? '') : service;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message) if (Buffer.isBuffer(part)) parts.push(part);
  return Buffer.concat(parts);
}

/** moto takes what stands before its own name for a bucket. */
function withHost(headers: readonly string[], host: string): readonly string[] {
  return headers.map((text, i) => (i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'host' ? host : text));
}

const FRAMING: ReadonlySet<string> = new Set(['transfer-encoding', 'connection', 'keep-alive']);

function withoutFraming(headers: readonly string[]): readonly string[] {
  return headers.filter((_, i) => !FRAMING.has((headers[i - (i % 2)] ?? '').toLowerCase()));
}
