import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { encodeOuter, decodeOuter } from '../../enclave/protocol/frame.ts';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { sealEnvelope } from '../../enclave/protocol/envelope.ts';
import { openApiDocument } from '../../orchestrator/openapi.ts';
import { parseAttestation } from '../../parties/attestation/document.ts';
import { policyText, startHarness } from './harness.ts';
import type { Harness } from './harness.ts';

let harness: Harness;
let id: string;

beforeAll(async () => {
  harness = await startHarness();
  const created = await send('POST', '/v1/collaborations', { policy: policyText(harness.aws.trust) });
  id = String(created.body['id']);
  await whenBuilt(id);
});
afterAll(() => harness.close());

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

async function send(
  method: string,
  path: string,
  json?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const response = await fetch(`${harness.orchestrator.url}${path}`, {
    method,
    headers: json === undefined ? headers : { 'content-type': 'application/json', ...headers },
    body: json === undefined ? null : JSON.stringify(json),
  });
  const got = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(got) : { text: got } };
}

async function whenBuilt(one: string): Promise<void> {
  await vi.waitFor(
    async () => expect((await send('GET', `/v1/collaborations/${one}`)).body['state']).not.toBe('building'),
    { timeout: 60_000 },
  );
}

async function pcrsOf(one: string): Promise<Readonly<Record<string, unknown>>> {
  const { measurements } = (await send('GET', `/v1/collaborations/${one}`)).body;
  return { ...(typeof measurements === 'object' ? measurements : {}) };
}

async function envelope(plaintextBytes: number): Promise<Buffer> {
  const header = {
    keyArn: 'arn:x',
    dataKey: randomBytes(200),
    context: { 'accord:purpose': 'model' },
    noncePrefix: randomBytes(7),
  };
  const parts: Uint8Array[] = [];
  for await (const part of sealEnvelope(header, randomBytes(32), [new Uint8Array(plaintextBytes)])) parts.push(part);
  return Buffer.concat(parts);
}

function put(path: string, body: Uint8Array, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${harness.orchestrator.url}${path}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream', ...headers },
    body: new Uint8Array(body),
  });
}

const problem = (status: number, code: string) => ({ status, body: { status, code } });

describe('the interface', () => {
  it('serves its own description, and answers with it', async () => {
    expect((await send('GET', '/openapi.json')).body).toEqual(openApiDocument);
    expect((await send('GET', '/healthz')).body).toEqual({ status: 'ok' });
  });

  it('sends what keeps browsers safe, and does not speak to foreign pages', async () => {
    const { headers } = await send('GET', '/healthz');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('x-powered-by')).toBeNull();
    const foreign = { origin: 'https://evil.example' };
    expect(await send('POST', `/v1/collaborations/${id}/terminate`, undefined, foreign)).toMatchObject(
      problem(403, 'orchestrator/foreign-origin'),
    );
    expect(await rebound('evil.example')).toBe(421);
    expect(await rebound('localhost')).toBe(200);
  });

  it('has a page without inline script that says it relays', async () => {
    const page = String((await send('GET', '/')).body['text']);
    expect(page).toContain('relayed');
    expect(page).not.toMatch(/verified/i);
    expect(page).not.toMatch(/<script(?![^>]*src=)/);
    expect(page).not.toMatch(/style=|onclick=/);
    const script = String((await send('GET', '/page.js')).body['text']);
    expect(script).toContain('/v1/collaborations');
    expect(script).not.toMatch(/verified|interface |innerHTML/);
    expect((await send('GET', '/page.css')).status).toBe(200);
  });

  it('refuses what its description does not allow, as a problem', async () => {
    const cases: readonly [string, string, unknown, number, string][] = [
      ['GET', '/nothing', undefined, 404, 'http/not-found'],
      ['DELETE', '/v1/collaborations', undefined, 405, 'http/method-not-allowed'],
      ['GET', '/v1/collaborations/Not-An-Id', undefined, 400, 'http/request-invalid'],
      ['GET', '/v1/collaborations/absent-0123456789ab', undefined, 404, 'orchestrator/unknown-collaboration'],
      ['GET', `/v1/collaborations/${id}?x=1`, undefined, 400, 'http/request-invalid'],
      ['POST', '/v1/collaborations', {}, 400, 'http/request-invalid'],
      ['POST', '/v1/collaborations', { policy: '' }, 400, 'http/request-invalid'],
      ['POST', '/v1/collaborations', { policy: 'a: b', more: 1 }, 400, 'http/request-invalid'],
      ['POST', '/v1/collaborations', { policy: 'x'.repeat(262_145) }, 400, 'http/request-invalid'],
      ['POST', '/v1/collaborations', { policy: 'x'.repeat(7_000_000) }, 413, 'http/too-large'],
      ['GET', `/v1/collaborations/${id}/contributions/unknown`, undefined, 404, 'orchestrator/unknown-function'],
      ['GET', `/v1/collaborations/${id}/contributions/classify`, undefined, 404, 'orchestrator/no-contribution'],
      ['DELETE', `/v1/collaborations/${id}/contributions/classify`, undefined, 404, 'orchestrator/no-contribution'],
      ['GET', `/v1/collaborations/${id}/observed`, undefined, 409, 'orchestrator/not-running'],
      ['POST', `/v1/collaborations/${id}/terminate?copy=7`, undefined, 409, 'orchestrator/not-running'],
    ];
    for (const [method, path, json, status, code] of cases) {
      const reply = await send(method, path, json);
      expect(reply, `${method} ${path}`).toMatchObject(problem(status, code));
      expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    }
    const asText = { 'content-type': 'text/plain' };
    expect(await send('POST', '/v1/collaborations', 'hello', asText)).toMatchObject(problem(415, 'http/media-type'));
    const broken = await fetch(`${harness.orchestrator.url}/v1/collaborations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"policy":',
    });
    expect(broken.status).toBe(400);
  });

  it('asks for a WebSocket where a session is read without', async () => {
    const path = `/v1/collaborations/${id}/session`;
    const reply = await send('GET', path);
    expect(reply).toMatchObject(problem(426, 'http/upgrade-required'));
    expect(reply.headers.get('upgrade')).toBe('websocket');
    expect(reply.headers.get('connection')).toBe('upgrade');
    expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(JSON.stringify(openApiDocument['paths'])).toContain('"426"');
    expect(await send('GET', '/v1/collaborations/Not-An-Id/session')).toMatchObject(
      problem(400, 'http/request-invalid'),
    );
  });

  it('tells every fault of a policy, with its place', async () => {
    const { status, body } = await send('POST', '/v1/collaborations', {
      policy: 'apiVersion: accord/v1\nfoo: 1\nbar: 2\n',
    });
    expect(status).toBe(422);
    expect(body).toMatchObject({ kind: 'malformed' });
    expect(body['faults']).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ path: 'foo', line: 2 }),
        expect.objectContaining({ path: 'bar', line: 3 }),
      ]),
    );
  });
});

describe('a collaboration', () => {
  it('is one for one policy, and names no key', async () => {
    const again = await send('POST', '/v1/collaborations', { policy: policyText(harness.aws.trust) });
    expect(again).toMatchObject({ status: 200, body: { id, state: 'built' } });
    const { collaborations } = (await send('GET', '/v1/collaborations')).body;
    expect(collaborations).toMatchObject([{ id }]);
    expect(JSON.stringify([again.body, collaborations])).not.toContain('arn:aws:kms');
    expect(again.body['inWords']).toEqual(
      expect.arrayContaining([expect.stringContaining('alice may call classify 3 times')]),
    );
    expect(again.body['weakenings']).toEqual(expect.arrayContaining([expect.stringContaining('Local trust')]));
  });

  it('tells what happens while it is built', async () => {
    const created = await send('POST', '/v1/collaborations', { policy: policyText(harness.aws.trust, 99) });
    expect(created.status).toBe(201);
    const other = String(created.body['id']);
    const response = await fetch(`${harness.orchestrator.url}/v1/collaborations/${other}/events`);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    let seen = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      seen += decoder.decode(chunk, { stream: true });
      if (seen.includes('"built"')) break;
    }
    expect(seen).toMatch(/^event: state\ndata: \{"state":"(building|built)"/);
    const [before, after] = [await pcrsOf(id), await pcrsOf(other)];
    expect(after['PCR0']).not.toBe(before['PCR0']);
    expect(after['PCR1']).toBe(before['PCR1']);
  });

  it('is built again when its image is gone, and says so when it is launched without', async () => {
    await rm(join(harness.dataFolder, 'images', id), { recursive: true });
    expect(await send('POST', `/v1/collaborations/${id}/launch`)).toMatchObject(problem(409, 'orchestrator/not-built'));
    const again = await send('POST', '/v1/collaborations', { policy: policyText(harness.aws.trust) });
    expect(again).toMatchObject({ status: 202, body: { id, state: 'building' } });
    await whenBuilt(id);
  });

  it('that trusts another root is refused before it is built', async () => {
    for (const trust of [undefined, { ...harness.aws.trust, attestationRoot: '0'.repeat(64) }]) {
      const before = (await send('GET', '/v1/collaborations')).body;
      expect(await send('POST', '/v1/collaborations', { policy: policyText(trust) })).toMatchObject(
        problem(409, 'orchestrator/trust-mismatch'),
      );
      expect((await send('GET', '/v1/collaborations')).body).toEqual(before);
    }
  });
});

describe('contributions', () => {
  const path = (): string => `/v1/collaborations/${id}/contributions/classify`;

  it('are stored as they are, given back, replaced and deleted', async () => {
    const [first, second] = [await envelope(3_000_000), await envelope(10)];
    const stored = await put(path(), first);
    const sha256 = createHash('sha256').update(first).digest('hex');
    expect(stored.status).toBe(201);
    expect(await stored.json()).toMatchObject({ function: 'classify', bytes: first.length, sha256 });
    const given = await fetch(`${harness.orchestrator.url}${path()}`);
    expect(given.headers.get('repr-digest')).toBe(`sha-256=:${createHash('sha256').update(first).digest('base64')}:`);
    expect(first.equals(Buffer.from(await given.arrayBuffer()))).toBe(true);
    await put(path(), second);
    expect(await readdir(join(harness.dataFolder, 'blobs'))).toEqual([
      createHash('sha256').update(second).digest('hex'),
    ]);
    expect((await send('GET', `/v1/collaborations/${id}`)).body['contributions']).toMatchObject([
      { bytes: second.length },
    ]);
    expect((await send('DELETE', path())).status).toBe(204);
    expect(await readdir(join(harness.dataFolder, 'blobs'))).toEqual([]);
  });

  it('that are not encrypted are not even kept', async () => {
    for (const plain of [
      Buffer.from('GIF89a'),
      randomBytes(100_000),
      Buffer.alloc(0),
      (await envelope(10)).subarray(0, 50),
    ]) {
      const refused = await put(path(), plain);
      expect(refused.status).toBe(422);
      expect(await refused.json()).toMatchObject({ code: 'orchestrator/not-encrypted' });
    }
    expect(await readdir(join(harness.dataFolder, 'blobs'))).toEqual([]);
  });

  it('that announce too much, or break off, leave nothing', async () => {
    const { port } = new URL(harness.orchestrator.url);
    const head = `PUT ${path()} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/octet-stream\r\n`;
    const greedy = connect(Number(port), '127.0.0.1');
    greedy.write(`${head}content-length: ${LIMITS.contributionBytes + 1}\r\n\r\n`);
    expect(String(await once(greedy, 'data'))).toMatch(/^HTTP\/1.1 413 /);
    greedy.destroy();
    const broken = connect(Number(port), '127.0.0.1');
    broken.write(`${head}content-length: 1000000\r\n\r\n`);
    broken.write((await envelope(100_000)).subarray(0, 50_000));
    await expect.poll(() => readdir(join(harness.dataFolder, 'blobs')), { timeout: 10_000 }).toHaveLength(1);
    broken.destroy();
    await expect.poll(() => readdir(join(harness.dataFolder, 'blobs')), { timeout: 10_000 }).toEqual([]);
    expect((await send('GET', '/healthz')).status).toBe(200);
  });
});

describe('an enclave', () => {
  it('is launched, reached, seen and stopped through the interface', async () => {
    const contribution = await envelope(100);
    await put(`/v1/collaborations/${id}/contributions/classify`, contribution);
    const launched = await Promise.all([1, 2].map(() => send('POST', `/v1/collaborations/${id}/launch`)));
    expect(launched).toMatchObject([
      { status: 200, body: { state: 'running' } },
      { status: 200, body: { state: 'running' } },
    ]);
    const { measurements, enclave } = launched[0]?.body ?? {};
    expect(enclave).toMatchObject({ host: 'local', measurements, state: { phase: 'running' } });
    expect((await send('GET', `/v1/collaborations/${id}/console`)).body).toMatchObject({
      lines: expect.arrayContaining([expect.stringContaining('"serving"')]),
    });

    const welcome = await hello(id, randomBytes(32));
    const document = parseAttestation(welcome);
    expect(Buffer.from(document.pcrs.get(0) ?? []).toString('hex')).toBe((await pcrsOf(id))['PCR0']);

    const { body } = await send('GET', `/v1/collaborations/${id}/observed`);
    expect(body).toMatchObject({ totals: { sessions: 1 } });
    expect(JSON.stringify(body)).toContain('"direction":"from-enclave"');

    expect((await send('POST', `/v1/collaborations/${id}/terminate`)).body).toMatchObject({
      state: 'stopped',
      reason: 'terminated by the coordinator',
      enclave: null,
    });
    expect((await send('GET', `/v1/collaborations/${id}/console`)).body).toMatchObject({
      lines: expect.arrayContaining([expect.stringContaining('"stopped"')]),
    });
  });

  it('that does not run has no sessions, and no foreign page opens one', async () => {
    expect(await upgradeStatus(`/v1/collaborations/${id}/session`)).toBe(409);
    expect(await upgradeStatus('/v1/collaborations/absent-0123456789ab/session')).toBe(404);
    expect(await upgradeStatus('/elsewhere')).toBe(404);
    expect(await upgradeStatus(`/v1/collaborations/${id}/session`, { origin: 'https://evil.example' })).toBe(403);
  });

  it('that dies is marked stopped with the reason, and can be launched again', async () => {
    await send('POST', `/v1/collaborations/${id}/launch`);
    const { processesOf } = await import('../../orchestrator/hosts/processes.ts');
    for (const pid of await processesOf(harness.dataFolder)) process.kill(pid, 'SIGKILL');
    await expect
      .poll(async () => (await send('GET', `/v1/collaborations/${id}`)).body, { timeout: 10_000 })
      .toMatchObject({
        state: 'stopped',
        reason: expect.stringContaining('SIGKILL'),
      });
    expect((await send('POST', `/v1/collaborations/${id}/launch`)).body).toMatchObject({ state: 'running' });
  });

  it('and its collaboration survive a restart of the orchestrator', async () => {
    const before = (await send('GET', `/v1/collaborations/${id}`)).body;
    await harness.restart();
    const after = (await send('GET', `/v1/collaborations/${id}`)).body;
    expect(after).toMatchObject({
      state: 'stopped',
      reason: expect.stringContaining('start it again with `accord run POLICY`'),
      measurements: before['measurements'],
      contributions: before['contributions'],
    });
    expect((await send('POST', `/v1/collaborations/${id}/launch`)).body).toMatchObject({ state: 'running' });
  });
});

describe('what is stored and logged', () => {
  it('holds no key ARN outside of the database', async () => {
    expect(harness.logged.join('\n')).not.toContain('arn:aws:kms');
    for (const name of await readdir(harness.dataFolder, { recursive: true })) {
      if (name.startsWith('database') || name.includes('.sock') || name.startsWith('run')) continue;
      const content = await readFile(join(harness.dataFolder, name)).catch(() => Buffer.alloc(0));
      expect(content.includes('key/a11ce000'), name).toBe(false);
    }
  });
});

/** Status of a request that goes by another name. */
function rebound(host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(`${harness.orchestrator.url}/healthz`, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on('error', reject).end();
  });
}

async function hello(one: string, nonce: Uint8Array): Promise<Uint8Array> {
  const socket = new WebSocket(`${harness.orchestrator.url.replace('http', 'ws')}/v1/collaborations/${one}/session`);
  await once(socket, 'open');
  socket.send(encodeOuter({ t: 'hello', v: 1, nonce }));
  const body = await new Promise<Uint8Array>((resolve) =>
    socket.once('message', (data) => resolve(data instanceof Buffer ? data : new Uint8Array())),
  );
  socket.close();
  await once(socket, 'close');
  const message = decodeOuter(body);
  if (message.t !== 'welcome') throw new Error(`not a welcome: ${message.t}`);
  return message.attestation;
}

async function upgradeStatus(path: string, headers: Record<string, string> = {}): Promise<number | undefined> {
  const socket = new WebSocket(`${harness.orchestrator.url.replace('http', 'ws')}${path}`, { headers });
  const response = await new Promise<IncomingMessage>((resolve) =>
    socket.once('unexpected-response', (_request, refused) => resolve(refused)),
  );
  expect(JSON.parse(await text(response))).toMatchObject({ code: expect.stringMatching(/^(orchestrator|http)\//) });
  return response.statusCode;
}
