import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startLocalAws } from '../../../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../../../orchestrator/local/aws.ts';
import { startOrchestrator } from '../../../../orchestrator/main.ts';
import type { Orchestrator } from '../../../../orchestrator/main.ts';
import { createNitroCommand } from '../../../../orchestrator/hosts/nitro/command.ts';
import { policyText } from '../../harness.ts';
import { NITRO_CLI, startMachine, unixVsock } from './stand-in.ts';
import type { Machine } from './stand-in.ts';

/** The first use of a builder loads much. */
const WAIT = { timeout: 120_000 };

let machine: Machine;
let aws: LocalAws;
let orchestrator: Orchestrator;
const logged: string[] = [];

async function start(isDebug = false): Promise<void> {
  orchestrator = await startOrchestrator({
    host: 'nitro',
    dataFolder: join(machine.folder, 'data'),
    port: 0,
    address: '127.0.0.1',
    validateResponses: true,
    // No image is built here: the builder is told of a base that it must refuse.
    image: { base: 'not-pinned:latest' },
    nitro: {
      isDebug,
      command: createNitroCommand(NITRO_CLI, { PATH: process.env['PATH'], NITRO_STAND_IN: machine.folder }),
      vsock: unixVsock(machine.folder),
      machine: machine.paths,
      pauses: { firstMs: 50, mostMs: 250 },
    },
    now: () => new Date(),
    log: (line) => void logged.push(line),
  });
}

beforeAll(async () => {
  aws = await startLocalAws({ dataDir: join((machine = await startMachine()).folder, 'aws') });
});
afterAll(async () => {
  await aws.close();
  await machine.remove();
});
beforeEach(() => start());
afterEach(() => orchestrator.close());

async function send(
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${orchestrator.url}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

/** A collaboration whose image stands where a build would have put it. */
async function built(): Promise<string> {
  const { body } = await send('POST', '/v1/collaborations', { policy: policyText(undefined) });
  const id = String(body['id']);
  await expect
    .poll(async () => (await send('GET', `/v1/collaborations/${id}`)).body['state'], WAIT)
    .not.toBe('building');
  const images = join(machine.folder, 'data', 'images', id);
  await mkdir(images, { recursive: true });
  await cp(await machine.image('serves'), join(images, 'image.eif'));
  return id;
}

describe('an orchestrator on the nitro host', { timeout: 180_000 }, () => {
  it('takes no policy that trusts a stand-in for AWS', async () => {
    expect(await send('POST', '/v1/collaborations', { policy: policyText(aws.trust) })).toMatchObject({
      status: 409,
      body: {
        code: 'orchestrator/trust-mismatch',
        detail: expect.stringContaining('this host runs on AWS'),
        hint: expect.stringContaining('leave `--trust FILE` out'),
      },
    });
  });

  it('builds the image for Nitro, as it was told to', async () => {
    const { body } = await send('GET', `/v1/collaborations/${await built()}`);
    expect(body).toMatchObject({ state: 'failed', reason: expect.stringMatching(/not-pinned:latest|pinned/) });
  });

  it('launches, says where, and stops', async () => {
    const id = await built();
    expect((await send('POST', `/v1/collaborations/${id}/launch`)).body).toMatchObject({
      state: 'running',
      host: 'nitro',
      enclave: { host: 'nitro', isDebug: false, state: { phase: 'running' } },
    });
    expect((await send('GET', '/v1/collaborations')).body).toMatchObject({ collaborations: [{ id, host: 'nitro' }] });
    expect((await machine.listed())[0]).toMatchObject({ MemoryMiB: 1024, NumberOfCPUs: 2 });
    expect((await send('GET', `/v1/collaborations/${id}/console`)).body['lines']).toContain(
      '{"accord":"serving","port":5000}',
    );
    expect((await send('POST', `/v1/collaborations/${id}/terminate`)).body).toMatchObject({
      state: 'stopped',
      host: null,
      reason: 'terminated by the coordinator',
    });
    expect(await machine.listed()).toEqual([]);
  });

  it('starts them in debug mode where it was told so', async () => {
    await orchestrator.close();
    await start(true);
    const id = await built();
    expect((await send('POST', `/v1/collaborations/${id}/launch`)).body['enclave']).toMatchObject({ isDebug: true });
  });

  it('ends them with itself', async () => {
    await send('POST', `/v1/collaborations/${await built()}/launch`);
    expect(await machine.listed()).toHaveLength(1);
    await orchestrator.close();
    expect(await machine.listed()).toEqual([]);
  });
});
