/** Several enclaves of one image at once, and the anchors of a policy, through the interface. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { sealEnvelope } from '../../enclave/protocol/envelope.ts';
import { decodeOuter, encodeOuter } from '../../enclave/protocol/frame.ts';
import { parseAttestation } from '../../parties/attestation/document.ts';
import { policyText, startHarness } from './harness.ts';
import type { Harness } from './harness.ts';

let harness: Harness;
let id: string;

beforeAll(async () => {
  harness = await startHarness();
  for (const owner of ['alice', 'bob']) await mkdir(join(harness.folder, 'anchors', owner), { recursive: true });
  id = await build({ anchors: { alice: { s3: 's3://alice-anchor' }, bob: { folder: join(harness.folder, 'anchors', 'bob') } } }); // prettier-ignore
}, 120_000);
afterAll(() => harness.close());

type Json = Readonly<Record<string, unknown>>;

async function send(
  method: string,
  path: string,
  json?: unknown,
): Promise<{ readonly status: number; readonly body: Json }> {
  const response = await fetch(`${harness.orchestrator.url}/v1/collaborations${path}`, {
    method,
    headers: json === undefined ? {} : { 'content-type': 'application/json' },
    body: json === undefined ? null : JSON.stringify(json),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
}

/** Creates the collaboration of the usual policy with these parts in place of its own, and waits for its image. */
async function build(parts: Json): Promise<string> {
  const written: Json = JSON.parse(policyText(harness.aws.trust));
  const policy = JSON.stringify({ ...written, state: { seal: 'layered' }, ...parts });
  const { body } = await send('POST', '', { policy });
  expect(body).toMatchObject({ id: expect.any(String) });
  const created = String(body['id']);
  const state = async (): Promise<unknown> => (await send('GET', `/${created}`)).body;
  await vi.waitFor(async () => expect(await state()).toMatchObject({ state: 'built', reason: null }), {
    timeout: 90_000,
    interval: 200,
  });
  return created;
}

/** Module id of whoever answers. */
async function moduleOf(query = ''): Promise<string> {
  const socket = new WebSocket(
    `${harness.orchestrator.url.replace('http', 'ws')}/v1/collaborations/${id}/session${query}`,
  );
  await once(socket, 'open');
  socket.send(encodeOuter({ t: 'hello', v: 1, nonce: new Uint8Array(randomBytes(32)) }));
  const body = await new Promise<Uint8Array>((resolve) =>
    socket.once('message', (data) => resolve(data instanceof Buffer ? data : new Uint8Array())),
  );
  socket.close();
  await once(socket, 'close');
  const message = decodeOuter(body);
  if (message.t !== 'welcome') throw new Error(`not a welcome: ${message.t}`);
  return parseAttestation(message.attestation).moduleId;
}

const enclavesOf = (body: Json): readonly Json[] => {
  const { enclaves } = body;
  return Array.isArray(enclaves) ? enclaves.map((one) => Object(one)) : [];
};

describe('the credential of an anchor', () => {
  const path = (owner: string): string => `/${id}/contributions/anchor.${owner}`;

  async function put(owner: string, body: Uint8Array): Promise<{ readonly status: number; readonly body: Json }> {
    const response = await fetch(`${harness.orchestrator.url}/v1/collaborations${path(owner)}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream' },
      body: new Uint8Array(body),
    });
    return { status: response.status, body: Object(await response.json()) };
  }

  async function envelope(plaintextBytes: number): Promise<Buffer> {
    const header = {
      keyArn: 'arn:x',
      dataKey: randomBytes(200),
      context: { 'accord:purpose': 'anchor' },
      noncePrefix: randomBytes(7),
    };
    const parts: Uint8Array[] = [];
    for await (const part of sealEnvelope(header, randomBytes(32), [new Uint8Array(plaintextBytes)])) parts.push(part);
    return Buffer.concat(parts);
  }

  it('is taken for an owner of a bucket alone, encrypted and small', async () => {
    expect((await send('GET', `/${id}`)).body).toMatchObject({
      anchors: [
        { owner: 'alice', kind: 's3', credential: 'missing' },
        { owner: 'bob', kind: 'folder', credential: 'not-needed' },
      ],
    });
    const plain = Buffer.from('{"accessKeyId":"AKIA","secretAccessKey":"s"}');
    expect(await put('alice', plain)).toMatchObject({ status: 422, body: { code: 'orchestrator/not-encrypted' } });
    expect(await put('alice', await envelope(70_000))).toMatchObject({
      status: 413,
      body: { code: 'store/too-large' },
    });
    for (const other of ['bob', 'charlie']) {
      const refused = { status: 404, body: { code: 'orchestrator/unknown-function' } };
      expect(await put(other, await envelope(100))).toMatchObject(refused);
    }
    const sealed = await envelope(100);
    const sha256 = createHash('sha256').update(sealed).digest('hex');
    expect(await put('alice', sealed)).toMatchObject({ status: 201, body: { function: 'anchor.alice', sha256 } });
    expect((await send('GET', `/${id}`)).body).toMatchObject({
      anchors: [{ credential: 'contributed' }, {}],
      contributions: [{ function: 'anchor.alice', sha256 }],
    });
    expect((await send('DELETE', path('alice'))).status).toBe(204);
    expect((await send('GET', path('alice'))).body).toMatchObject({
      code: 'orchestrator/no-contribution',
      hint: expect.stringContaining('accord anchor contribute'),
    });
  });
});

describe('several enclaves of one image', () => {
  it('run at once; sessions go to each in its turn, or to the one that is named', { timeout: 120_000 }, async () => {
    expect((await send('POST', `/${id}/launch`)).body).toMatchObject({ copies: 1 });
    const launched = await send('POST', `/${id}/launch?copies=2`);
    expect(launched).toMatchObject({ status: 200, body: { state: 'running', copies: 2 } });
    const [first, second, ...more] = enclavesOf(launched.body);
    expect([first?.['copy'], second?.['copy'], more]).toEqual([1, 2, []]);
    expect(first?.['measurements']).toEqual(second?.['measurements']);
    // Fewer than run are fewer than are asked for: nothing is stopped.
    expect((await send('POST', `/${id}/launch?copies=1`)).body).toMatchObject({ copies: 2 });

    const turns = [await moduleOf(), await moduleOf(), await moduleOf(), await moduleOf()];
    expect(new Set(turns).size).toBe(2);
    expect(turns.slice(0, 2)).toEqual(turns.slice(2));
    const named = [await moduleOf('?copy=1'), await moduleOf('?copy=2'), await moduleOf('?copy=1')];
    expect(new Set(named).size).toBe(2);
    expect(named[0]).toBe(named[2]);

    expect((await send('GET', `/${id}/observed`)).body).toMatchObject({ totals: { sessions: 7 } });
    expect((await send('GET', `/${id}/observed?copy=2`)).body).toMatchObject({ totals: { sessions: 3 } });
    await expect(moduleOf('?copy=3')).rejects.toThrow('409');
    for (const query of ['copies=0', 'copies=9', 'copies=x']) {
      expect((await send('POST', `/${id}/launch?${query}`)).body).toMatchObject({ code: 'http/request-invalid' });
    }
  });

  it('end one by one: the others go on, and the end is told', { timeout: 120_000 }, async () => {
    const stopped = await send('POST', `/${id}/terminate?copy=1`);
    expect(stopped.body).toMatchObject({
      state: 'running',
      copies: 1,
      reason: 'copy 1 ended: terminated by the coordinator',
    });
    expect(enclavesOf(stopped.body)).toMatchObject([{ copy: 2 }]);
    expect((await send('GET', `/${id}/console?copy=1`)).body['lines']).toEqual(
      expect.arrayContaining([expect.stringContaining('"stopped"')]),
    );
    expect(await moduleOf()).toBe(await moduleOf('?copy=2'));

    const again = await send('POST', `/${id}/launch?copies=2`);
    expect(again.body).toMatchObject({ copies: 2, reason: null });
    expect((await send('POST', `/${id}/terminate`)).body).toMatchObject({ state: 'stopped', copies: 0, enclaves: [] });
  });
});

describe('a folder as an anchor', () => {
  it('is refused elsewhere than on the local host, before anything is built', async () => {
    const { demandServable } = await import('../../orchestrator/servable.ts');
    const folder = { owner: 'bob', folder: '/anchors/bob' };
    const bucket = { owner: 'alice', s3: { bucket: 'a', prefix: 'accord/', region: 'eu-west-1' } };
    const policy = { trust: harness.aws.trust, anchors: { stores: [bucket, folder], quorum: 2 } };
    const { attestationRoot } = harness.aws.trust;
    expect(() => demandServable(policy, { host: { name: 'local' }, attestationRoot })).not.toThrow();
    expect(() => demandServable(policy, { host: { name: 'qemu' }, attestationRoot })).toThrow(
      'the anchor of bob is a folder, and enclaves on the qemu host have no folders',
    );
    const buckets = { ...policy, anchors: { stores: [bucket], quorum: 1 } };
    expect(() => demandServable(buckets, { host: { name: 'qemu' }, attestationRoot })).not.toThrow();
  });
});
