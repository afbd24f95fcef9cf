/** The client of S3 on the wire: what it sends, what it makes of answers, and that nothing but its settings takes part. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { Agent } from 'node:https';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { s3Endpoint } from '../../../enclave/kms/endpoint.ts';
import type { S3, S3Settings } from '../../../enclave/claims/s3.ts';
import { createS3 } from '../../../enclave/claims/s3.ts';
import { RETAIN_UNTIL } from './s3-place.ts';

type Reply = (request: IncomingMessage, response: ServerResponse) => void;

const requests: { readonly line: string; readonly headers: IncomingMessage['headers']; readonly body: string }[] = [];
let connections = 0;
let reply: Reply = (_, response) => void response.end();
let url = '';
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += String(chunk)));
  request.on('end', () => {
    requests.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
    reply(request, response);
  });
});
server.on('connection', () => (connections += 1));

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(() => {
  requests.length = 0;
  vi.unstubAllEnvs();
});

const live = (): AbortSignal => new AbortController().signal;

function client(changes: Partial<S3Settings> = {}): S3 {
  return createS3({
    trust: { attestationRoot: '', tlsRoots: [], endpoints: { kms: url, sts: url, s3: url } },
    agent: new Agent(),
    clockOffset: () => Promise.resolve(0),
    region: 'eu-west-1',
    bucket: 'alice-anchor',
    account: '111122223333',
    credentials: { accessKeyId: 'AKIAANCHOR', secretAccessKey: 'secret' },
    ...changes,
  });
}

const answer =
  (status: number, body = '', headers: Record<string, string> = {}): Reply =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/xml', ...headers });
    response.end(body);
  };
const refusal = (status: number, code: string, headers: Record<string, string> = {}, more = ''): Reply =>
  answer(status, `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code} says S3</Message>${more}</Error>`, headers); // prettier-ignore

describe('what is sent', () => {
  test('to create: only where nothing is, locked, to the bucket of this account', async () => {
    reply = answer(200, '', { 'x-amz-version-id': 'v1' });
    const created = await client().create('accord/tickets/x/0', Uint8Array.of(65, 66), RETAIN_UNTIL, live());
    expect(created).toEqual({ outcome: 'created', id: 'v1' });
    const [put] = requests;
    expect(put?.line).toMatch(/^PUT \/alice-anchor\/accord\/tickets\/x\/0(\?|$)/);
    expect(put?.body).toBe('AB');
    expect(put?.headers).toMatchObject({
      'if-none-match': '*',
      'x-amz-object-lock-mode': 'COMPLIANCE',
      'x-amz-object-lock-retain-until-date': '2031-03-31T00:00:00Z',
      'x-amz-expected-bucket-owner': '111122223333',
      'content-md5': createHash('md5').update('AB').digest('base64'),
    });
    expect(put?.headers.authorization).toMatch(/Credential=AKIAANCHOR\/\d{8}\/eu-west-1\/s3\/aws4_request/);
    // None of it could be taken away on the way: all of it is signed.
    for (const name of ['if-none-match', 'x-amz-object-lock-mode', 'x-amz-object-lock-retain-until-date'])
      expect(put?.headers.authorization).toContain(name);
  });

  test('with every request: whose bucket it must be', async () => {
    reply = refusal(404, 'NoSuchBucket');
    const s3 = client();
    await s3.versions('k', live()).catch(() => undefined);
    await s3.read('k', undefined, live()).catch(() => undefined);
    await s3.bucket(live()).catch(() => undefined);
    await vi.waitFor(() => expect(requests).toHaveLength(4));
    for (const { headers } of requests) expect(headers['x-amz-expected-bucket-owner']).toBe('111122223333');
  });

  test('at the trusted time, also after S3 has found the machine’s wrong', async () => {
    const s3 = client({ clockOffset: () => Promise.resolve(3_600_000) });
    reply = refusal(403, 'RequestTimeTooSkewed', { date: new Date(Date.now() - 7_200_000).toUTCString() });
    for (let i = 0; i < 2; i += 1)
      await expect(s3.versions('k', live())).rejects.toMatchObject({ code: 's3/clock-skew' });
    for (const { headers } of requests) {
      const [, y, mo, d, h, mi, s] = (/^(....)(..)(..)T(..)(..)(..)Z$/.exec(String(headers['x-amz-date'])) ?? []).map(Number); // prettier-ignore
      const signed = Date.UTC(y ?? 0, (mo ?? 0) - 1, d, h, mi, s);
      expect(Math.abs(signed - Date.now() - 3_600_000)).toBeLessThan(60_000);
    }
  });

  test.each([
    ['in an empty environment', {}],
    [
      'whatever the environment says',
      {
        AWS_REGION: 'us-east-1',
        AWS_ENDPOINT_URL: 'https://evil.test',
        AWS_ENDPOINT_URL_S3: 'https://evil.test',
        AWS_MAX_ATTEMPTS: '5',
        AWS_RETRY_MODE: 'adaptive',
        AWS_DEFAULTS_MODE: 'mobile',
        AWS_USE_DUALSTACK_ENDPOINT: 'true',
        AWS_USE_FIPS_ENDPOINT: 'true',
        AWS_S3_USE_ARN_REGION: 'true',
        AWS_DISABLE_CLOCK_SKEW_CORRECTION: 'true',
        AWS_REQUEST_CHECKSUM_CALCULATION: 'WHEN_SUPPORTED',
        AWS_SIGV4A_SIGNING_REGION_SET: '*',
        AWS_AUTH_SCHEME_PREFERENCE: 'sigv4a',
        AWS_SDK_UA_APP_ID: 'seen-in-the-user-agent',
        AWS_ACCESS_KEY_ID: 'AKIDENVIRONMENT',
        AWS_SECRET_ACCESS_KEY: 'environment',
        HTTPS_PROXY: 'http://evil.test',
      },
    ],
  ])('%s: the same, once', async (_, variables) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    reply = refusal(503, 'SlowDown');
    await expect(client().create('k', Uint8Array.of(1), RETAIN_UNTIL, live())).rejects.toMatchObject({
      code: 's3/unavailable',
      where: 'SlowDown',
    });
    expect(requests).toHaveLength(1);
    const [sent] = requests;
    expect(sent?.headers.authorization).toMatch(/Credential=AKIAANCHOR\/\d{8}\/eu-west-1\/s3\/aws4_request/);
    expect(JSON.stringify(sent)).not.toMatch(/evil|seen-in-the-user-agent|ENVIRONMENT|checksum/);
  });

  test('over one connection, one request after another', async () => {
    const s3 = client();
    const before = connections;
    reply = answer(200, '', { 'x-amz-version-id': 'v1' });
    for (let i = 0; i < 5; i += 1) await s3.create(`k/${i}`, Uint8Array.of(1), RETAIN_UNTIL, live());
    expect(connections - before).toBe(1);
  });

  test('to the Region’s endpoint, of its partition', () => {
    expect(s3Endpoint('aws', 'eu-west-1')).toBe('https://s3.eu-west-1.amazonaws.com');
    expect(s3Endpoint('aws', 'us-gov-west-1')).toBe('https://s3.us-gov-west-1.amazonaws.com');
    expect(s3Endpoint('aws', 'cn-north-1')).toBe('https://s3.cn-north-1.amazonaws.com.cn');
    const local = { kms: '', sts: '', s3: 'https://s3.{region}.accord.test' };
    expect(s3Endpoint({ attestationRoot: '', tlsRoots: [], endpoints: local }, 'eu-west-3')).toBe('https://s3.eu-west-3.accord.test'); // prettier-ignore
  });
});

describe('what answers mean', () => {
  test.each([
    [412, 'PreconditionFailed', 'exists'],
    [409, 'ConditionalRequestConflict', 'conflict'],
  ])('%i to a write: %s', async (status, name, outcome) => {
    reply = refusal(status, name);
    expect(await client().create('k', Uint8Array.of(1), RETAIN_UNTIL, live())).toEqual({ outcome });
  });

  test.each([
    [403, 'AccessDenied', 's3/refused'],
    [403, 'InvalidAccessKeyId', 's3/credential'],
    [403, 'SignatureDoesNotMatch', 's3/credential'],
    [403, 'RequestTimeTooSkewed', 's3/clock-skew'],
    [404, 'NoSuchBucket', 's3/no-bucket'],
    [500, 'InternalError', 's3/unavailable'],
    [503, 'SlowDown', 's3/unavailable'],
    [400, 'RequestTimeout', 's3/unavailable'],
    [429, 'TooManyRequests', 's3/unavailable'],
    [400, 'IllegalLocationConstraintException', 's3/wrong-region'],
    [400, 'SomethingNew', 's3/refused'],
  ])('%i %s: %s', async (status, name, code) => {
    reply = refusal(status, name);
    await expect(client().create('k', Uint8Array.of(1), RETAIN_UNTIL, live())).rejects.toMatchObject({ code });
    await expect(client().versions('k', live())).rejects.toMatchObject({ code });
    await expect(client().read('k', undefined, live())).rejects.toMatchObject({ code });
  });

  test('a redirect to the bucket’s Region is told and not followed', async () => {
    reply = refusal(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'us-west-2', location: 'http://127.0.0.1:1/' });
    await expect(client().bucket(live())).rejects.toMatchObject({ code: 's3/wrong-region', where: 'us-west-2' });
    reply = refusal(400, 'AuthorizationHeaderMalformed', {}, '<Region>eu-central-1</Region>');
    await expect(client().versions('k', live())).rejects.toMatchObject({
      code: 's3/wrong-region',
      where: 'eu-central-1',
    });
  });

  test('a write into a bucket without lock', async () => {
    reply = answer(400, '<Error><Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration</Message></Error>'); // prettier-ignore
    await expect(client().create('k', Uint8Array.of(1), RETAIN_UNTIL, live())).rejects.toMatchObject({
      code: 's3/no-lock',
    });
  });

  test.each(['NoSuchKey', 'NoSuchVersion'])('%s to a read: nothing is there', async (name) => {
    reply = refusal(404, name, { 'x-amz-delete-marker': 'true' });
    expect(await client().read('k', undefined, live())).toBeUndefined();
    reply = refusal(405, 'MethodNotAllowed');
    expect(await client().read('k', 'm1', live())).toBeUndefined();
  });

  test('the bucket of another account: refused in the words of a missing permission, told apart', async () => {
    reply = (request, response) => {
      if (request.headers['x-amz-expected-bucket-owner'] !== undefined) return refusal(403, 'AccessDenied')(request, response); // prettier-ignore
      const state = request.url?.includes('versioning') === true ? 'VersioningConfiguration' : 'ObjectLockConfiguration'; // prettier-ignore
      answer(200, `<${state}><Status>Enabled</Status></${state}>`)(request, response);
    };
    await expect(client().bucket(live())).rejects.toMatchObject({ code: 's3/wrong-owner' });
    reply = refusal(403, 'AccessDenied');
    await expect(client().bucket(live())).rejects.toMatchObject({ code: 's3/refused' });
  });

  test.each([
    ['no XML', answer(200, 'This is not XML <<<')],
    ['an end in the middle', answer(200, '<ListVersionsResult><Version><Key>k', { 'content-length': '4000' })],
    ['nothing at all', (request: IncomingMessage) => void request.destroy()],
  ] as const)('%s: unavailable', async (_, garbled) => {
    reply = (request, response) => {
      garbled(request, response);
      setTimeout(() => request.socket.destroy(), 20);
    };
    await expect(client().versions('k', live())).rejects.toMatchObject({ code: 's3/unavailable' });
  });

  test.each(['versions', 'read'] as const)('a body that stalls ends with the signal (%s)', async (operation) => {
    reply = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/xml', 'content-length': '101' });
      response.write('<');
    };
    const controller = new AbortController();
    const s3 = client();
    const asking = operation === 'versions' ? s3.versions('k', controller.signal) : s3.read('k', undefined, controller.signal); // prettier-ignore
    setTimeout(() => controller.abort(), 50);
    await expect(asking).rejects.toMatchObject({ code: 's3/unavailable' });
  });

  test('an object larger than any entry is not read', async () => {
    let sent = 0;
    let isClosed = false;
    reply = (request, response) => {
      request.socket.once('close', () => (isClosed = true)).on('error', () => {});
      response.writeHead(200, { 'content-length': String(5 * 1024 ** 4) });
      const more = (): void => {
        sent += 65_536;
        if (!response.destroyed && response.write(new Uint8Array(65_536))) setImmediate(more);
      };
      more();
    };
    await expect(client().read('k', undefined, live())).rejects.toMatchObject({ code: 's3/oversize' });
    await vi.waitFor(() => expect(isClosed).toBe(true));
    expect(sent).toBeLessThan(64 * 1024 ** 2);
  });
});

describe('versions', () => {
  const page = (rows: readonly string[], next?: string): string =>
    `<ListVersionsResult><IsTruncated>${next !== undefined}</IsTruncated>${next ?? ''}${rows.join('')}</ListVersionsResult>`;
  const version = (key: string, id: string): string =>
    `<Version><Key>${key}</Key><VersionId>${id}</VersionId><Size>101</Size></Version>`;
  const marker = (key: string, id: string): string =>
    `<DeleteMarker><Key>${key}</Key><VersionId>${id}</VersionId></DeleteMarker>`;
  const next = '<NextKeyMarker>k/1</NextKeyMarker><NextVersionIdMarker>v3</NextVersionIdMarker>';

  test('of one key only, in one short page where another key begins', async () => {
    reply = answer(200, page([version('k/1', 'v1'), version('k/10', 'x'), marker('k/11', 'y')], next));
    expect(await client().versions('k/1', live())).toEqual([{ id: 'v1', kind: 'object' }]);
    expect(requests.map(({ line }) => line)).toEqual([expect.stringContaining('max-keys=4&prefix=k%2F1')]);
  });

  test('over pages, in order, with the markers after', async () => {
    const pages = [page([version('k/1', 'v5'), marker('k/1', 'm'), version('k/1', 'v3')], next), page([version('k/1', 'v2')])]; // prettier-ignore
    reply = (request, response) => answer(200, pages.shift())(request, response);
    expect((await client().versions('k/1', live())).map(({ id }) => id)).toEqual(['v5', 'v3', 'v2', 'm']);
    expect(requests[1]?.line).toMatch(/key-marker=k%2F1&.*version-id-marker=v3/);
  });

  test('without end: given up', async () => {
    reply = answer(200, page([version('k/1', 'v')], next));
    await expect(client().versions('k/1', live())).rejects.toMatchObject({ code: 's3/too-many-versions' });
    expect(requests.length).toBeLessThan(20);
  });
});
