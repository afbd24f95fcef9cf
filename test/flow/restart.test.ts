/** What a host can do to enclaves and disks: kill, restart, run twice, go back. Spent calls stay spent, answers are found. */
import { cp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ANCHORS, EXAMPLE, accord, agree, anchor, at, callOf, connect, contribute, enclaveProcesses, hardPicture, holdComputing, must, openPlace, readLeft, takePart } from './collaboration.ts'; // prettier-ignore
import type { Agreement, Json, Person, Place } from './collaboration.ts';
import { kill } from './processes.ts';
import type { Outcome } from './processes.ts';

const POLICY = join(EXAMPLE, 'policy.yaml');
const DISK = ['database', 'blobs', 'records'] as const;

let place: Place;
let agreement: Agreement;

beforeAll(async () => {
  place = await openPlace();
  agreement = await run();
  await takePart(place, agreement, 'alice', 'bob');
  await anchor(place);
  await contribute(place);
  await keepDisk();
}, 480_000);
afterAll(() => place.close(), 60_000);

const run = (...options: readonly string[]): Promise<Agreement> => agree(place, POLICY, ANCHORS, ...options);
const stop = (): Promise<Json> => must(place, 'stop', agreement.id, '--orchestrator', place.url);
const call = (person: Person, picture: string, ...options: readonly string[]): Promise<Outcome> =>
  accord(place, ...callOf(place, person, picture), ...options, '--json');
const oldDisk = (part: string): string => join(place.folder, 'old-disk', part);

/** Of a time when nobody had called. Nothing writes to it meanwhile. */
async function keepDisk(): Promise<void> {
  await stopOrchestrator();
  for (const part of DISK) await cp(join(place.dataFolder, part), oldDisk(part), { recursive: true });
  await place.startOrchestrator();
  await run();
  await connect(place);
}

async function stopOrchestrator(): Promise<void> {
  place.orchestrator.child.kill('SIGTERM');
  await place.orchestrator.outcome;
}

const ANSWERED = { code: 0, out: expect.stringMatching(/^\{"labels":\[/) };
const OVER = { code: 10, out: '{"refused":"quota-exceeded"}\n' };

async function restartEnclave(): Promise<Json> {
  await stop();
  await run();
  return connect(place);
}

async function statusOf(): Promise<Json> {
  return must(place, 'status', agreement.id, '--orchestrator', place.url);
}

describe('a call', { timeout: 480_000 }, () => {
  it('whose enclave is killed while it computes costs one ticket, and its answer is found after the restart', async () => {
    const release = await holdComputing(place);
    const hard = await hardPicture(place);
    const calling = place.start(...callOf(place, 'alice', hard), '--json');
    await expect.poll(() => readLeft(place, 'alice'), { timeout: 60_000, interval: 500 }).toBe(2);
    for (const pid of await enclaveProcesses(place, 'gate.mjs')) process.kill(pid, 'SIGKILL');
    release();
    expect((await calling.outcome).code).toBe(40);
    await expect.poll(async () => (await statusOf())['state'], { timeout: 60_000 }).toBe('stopped');
    await run();
    const status = await connect(place);
    // Bob contributed once; the model is in place again.
    const { classify } = Object(status['functions']);
    expect(classify).toMatchObject({ model: { sha256: expect.any(String) }, calls: { used: 1, left: 2 } });
    expect(await call('alice', hard)).toMatchObject(ANSWERED);
    expect(await readLeft(place, 'alice')).toBe(2);
  });

  it('stays spent when host and enclave are killed together', async () => {
    const answer = await call('alice', 'alice-2', '--new');
    expect(answer).toMatchObject(ANSWERED);
    const [id = ''] = /--retry [0-9a-f]+/.exec(answer.err)?.[0].split(' ').slice(1) ?? [];
    await kill(place.orchestrator);
    await place.startOrchestrator();
    await run();
    await connect(place);
    expect(await readLeft(place, 'alice')).toBe(1);
    expect(await call('alice', 'alice-2', '--retry', id)).toMatchObject({ code: 0, out: answer.out });
    expect(await readLeft(place, 'alice')).toBe(1);
  });
});

describe('two enclaves of one image', { timeout: 480_000 }, () => {
  it('share a quota: of two calls at once, for one that is left, one is answered', async () => {
    await run('--copies', '2');
    await connect(place, 2);
    const outcomes = await Promise.all(['1', '2'].map((copy) => call('alice', 'alice-3', '--new', '--copy', copy)));
    expect(outcomes.map(({ code }) => code)).toEqual(expect.arrayContaining([0, 10]));
    expect(outcomes).toEqual(expect.arrayContaining([expect.objectContaining(OVER)]));
    expect(await readLeft(place, 'alice')).toBe(0);
    for (const copy of ['1', '2']) expect(await call('alice', 'alice-3', '--new', '--copy', copy)).toMatchObject(OVER);
  });

  it('give Bob, whose session either may get, his two calls and no more', async () => {
    const outcomes: Outcome[] = [];
    for (const picture of ['bob-1', 'bob-2', 'bob-1', 'bob-2']) outcomes.push(await call('bob', picture, '--new'));
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 10, 10]);
    await must(place, 'stop', agreement.id, '--copy', '2', '--orchestrator', place.url);
    expect(await statusOf()).toMatchObject({ copies: 1, state: 'running' });
  });
});

describe('an old disk', { timeout: 480_000 }, () => {
  it('brings no call back', async () => {
    await stopOrchestrator();
    for (const part of DISK) {
      await rename(join(place.dataFolder, part), join(place.folder, `newest-${part}`));
      await cp(oldDisk(part), join(place.dataFolder, part), { recursive: true });
    }
    await place.startOrchestrator();
    await run();
    await connect(place);
    for (const [person, picture] of [
      ['alice', 'alice-1'],
      ['bob', 'bob-1'],
    ] as const) {
      // prettier-ignore
      expect(await call(person, picture, '--new')).toMatchObject(OVER);
      expect(await readLeft(place, person)).toBe(0);
    }
  });

  it('without the sealed records opens nothing: that is told, and the records put back are taken', async () => {
    await stop();
    const records = join(place.dataFolder, 'records', agreement.id);
    expect((await readdir(records)).length).toBeGreaterThan(1);
    await stopOrchestrator();
    await rename(records, join(place.folder, 'hidden'));
    await place.startOrchestrator();
    await run();
    await connect(place);
    expect(await call('alice', 'alice-1', '--new')).toMatchObject({
      code: 10,
      out: expect.stringContaining('"refused":"state-refused"'),
    });
    const { enclaves } = await statusOf();
    expect(enclaves).toMatchObject([
      { sealedState: { state: 'refused', reason: expect.stringMatching(/^state\/keys-/) } },
    ]);
    await stopOrchestrator();
    await rm(records, { recursive: true, force: true });
    await rename(join(place.folder, 'hidden'), records);
    await place.startOrchestrator();
    await run();
    expect((await connect(place))['state']).toMatchObject({ state: 'open' });
    expect(await call('alice', 'alice-1', '--new')).toMatchObject(OVER);
  });
});

describe('a party that does not connect', { timeout: 480_000 }, () => {
  it('keeps the state closed: calls are refused and say for whom they wait, and nothing is spent', async () => {
    await stop();
    await run();
    const refused = await accord(place, ...callOf(place, 'alice', 'alice-1'), '--new', '--json');
    expect(refused.out).toContain('"refused":"not-open"');
    expect(refused.out).toContain('it waits for a session of bob');
    expect(await must(place, 'quota', ...at(place, 'alice'))).toMatchObject({
      state: { state: 'waiting', waitingFor: ['bob'] },
    });
    const { out } = await accord(place, 'quota', ...at(place, 'alice'));
    expect(out.replaceAll(/\s+/g, ' ')).toContain('the state is not open yet: it waits for a session of bob, who must connect'); // prettier-ignore
    expect(out).not.toContain("waits for bob's model");
    expect((await restartEnclave())['state']).toMatchObject({ state: 'open' });
  });
});
