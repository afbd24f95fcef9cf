/** One agreement takes over from another: what was spent stays spent, and the old one is closed for good. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ANCHORS, EXAMPLE, accord, agree, anchor, at, callOf, connect, contribute, makeHome, must, openPlace, pin, readLeft, takePart } from './collaboration.ts'; // prettier-ignore
import type { Agreement, Json, Person, Place } from './collaboration.ts';
import type { Outcome } from './processes.ts';

let place: Place;
let old: Agreement;
let successor: Agreement;
let answer: Outcome;

beforeAll(async () => {
  place = await openPlace();
  old = await agree(place, join(EXAMPLE, 'policy.yaml'), ANCHORS);
  await takePart(place, old, 'alice', 'bob');
  await anchor(place);
  await contribute(place);
  answer = await accord(place, ...callOf(place, 'alice', 'alice-1'), '--json');
  await stop(old);
}, 480_000);
afterAll(() => place.close(), 60_000);

const stop = ({ id }: Agreement): Promise<Json> => must(place, 'stop', id, '--orchestrator', place.url);

/** Alice may call once more than before. */
async function writeSuccessor(): Promise<string> {
  const file = join(place.folder, 'next.yaml');
  const text = await readFile(join(EXAMPLE, 'policy.yaml'), 'utf8');
  const more = text.replace('alice: 3', 'alice: 4');
  expect(more).not.toBe(text);
  await writeFile(file, `${more}\nsucceeds: { policyDigest: ${old.policyDigest}, calls: carried }\n`);
  return file;
}

const handOver = (person: Person): Promise<Json> => pin(place, successor, person, '--succeed', old.measurementsFile);

/** Both say again where their anchors' credentials are: those of another policy do not open here. */
async function handCredentials(): Promise<void> {
  for (const person of ['alice', 'bob'] as const) await must(place, 'anchor', 'contribute', ...at(place, person));
}

describe('a successor', { timeout: 480_000 }, () => {
  it('opens nothing while one party has not said yes', async () => {
    expect(answer).toMatchObject({ code: 0 });
    successor = await agree(place, await writeSuccessor(), ANCHORS);
    await handOver('alice');
    await pin(place, successor, 'bob');
    for (const person of ['alice', 'bob'] as const) await makeHome(place, successor, person);
    await handCredentials();
    expect((await connect(place))['state']).not.toMatchObject({ state: 'open' });
  });

  it('opens with both, and counts what was spent before', async () => {
    await handOver('bob');
    await stop(successor);
    await agree(place, join(place.folder, 'next.yaml'), ANCHORS);
    await connect(place);
    await expect
      .poll(async () => (await connect(place))['state'], { timeout: 60_000, interval: 1_000 })
      .toMatchObject({ state: 'open' });
    expect(await readLeft(place, 'alice')).toBe(3);
    await contribute(place);
    expect(await accord(place, ...callOf(place, 'alice', 'alice-1'), '--new', '--json')).toMatchObject({ code: 0 });
    expect(await readLeft(place, 'alice')).toBe(2);
  });

  it('has closed its predecessor: nobody gets a call of it', async () => {
    await stop(successor);
    await agree(place, join(EXAMPLE, 'policy.yaml'), ANCHORS);
    for (const person of ['alice', 'bob'] as const) await makeHome(place, old, person);
    await connect(place);
    const refused = await accord(place, ...callOf(place, 'alice', 'alice-2'), '--new', '--json');
    expect(refused).toMatchObject({ code: 10, out: expect.stringContaining('"refused"') });
    expect(await readLeft(place, 'alice')).toBe(0);
  });
});
