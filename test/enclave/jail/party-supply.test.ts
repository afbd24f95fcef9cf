/** Lanes of parties, by scripted jails: who waits for whom, and when what was used is replaced. */
import { describe, expect, test } from 'vitest';
import { createNursery } from '../../../enclave/jail/nursery.ts';
import { createPartySupply } from '../../../enclave/jail/party-supply.ts';
import type { PartySupplyOptions } from '../../../enclave/jail/party-supply.ts';
import type { Jail } from '../../../enclave/jail/process.ts';
import { scriptedJails, type ScriptedJails } from './scripted-jails.ts';

interface Yard extends Omit<ScriptedJails, 'options'> {
  readonly options: PartySupplyOptions;
}

function yard(parties: readonly string[], atOnce: number): Yard {
  const { options, ...jails } = scriptedJails(2);
  return { ...jails, options: { ...options, parties, nursery: createNursery(atOnce).family() } };
}

const never = new AbortController().signal;
const pid = (jail: Jail): Promise<number> => Promise.resolve(jail.pid);

describe('each party', () => {
  test('has two warm jails of its own, made ready so many at a time as there are cores', async () => {
    const { options, alive, growing } = yard(['alice', 'bob', 'charlie'], 2);
    const supply = createPartySupply(options);
    await supply.start();
    await expect.poll(alive).toHaveLength(6);
    await expect.poll(() => growing.now).toBe(0);
    expect(growing.most).toBe(2);
    expect(supply.pids()).toHaveLength(6);
    await supply.close();
    expect(alive()).toEqual([]);
  });

  test('waits for its own calls, and for nobody else', async () => {
    const { options, alive } = yard(['alice', 'bob'], 1);
    const supply = createPartySupply(options);
    await supply.start();
    await expect.poll(alive).toHaveLength(4);
    let finish = (): void => {};
    const held = supply.use('alice', (jail) => new Promise<number>((resolve) => (finish = () => resolve(jail.pid))), never); // prettier-ignore
    let second = false;
    const next = supply.use('alice', pid, never).finally(() => (second = true));
    expect(await supply.use('bob', pid, never)).not.toBe(await supply.use('bob', pid, never));
    expect(second).toBe(false);
    finish();
    expect(await held).not.toBe(await next);
    await supply.close();
  });

  test('has its calls served in the order they came, one at a time', async () => {
    const supply = createPartySupply(yard(['alice'], 1).options);
    await supply.start();
    const order: number[] = [];
    let inside = 0;
    const call = async (number: number): Promise<void> => {
      expect(++inside).toBe(1);
      await new Promise((resolve) => void setTimeout(resolve, 2));
      order.push(number);
      inside -= 1;
    };
    await Promise.all([1, 2, 3, 4].map((number) => supply.use('alice', () => call(number), never)));
    expect(order).toEqual([1, 2, 3, 4]);
    await supply.close();
  });

  test('has a call that is aborted while it waits told so at once; it takes nothing with it', async () => {
    const { options, made } = yard(['alice'], 1);
    const supply = createPartySupply(options);
    await supply.start();
    await expect.poll(() => made.length).toBe(2);
    const atWork: (() => void)[] = [];
    const first = supply.use('alice', () => new Promise<void>((resolve) => void atWork.push(resolve)), never);
    const late = new AbortController();
    const waiting = supply.use('alice', pid, late.signal);
    const third = supply.use('alice', pid, never);
    late.abort(new Error('late'));
    await expect(waiting).rejects.toThrow('late');
    await expect.poll(() => atWork).toHaveLength(1);
    atWork[0]?.();
    await first;
    expect(await third).toBe(2);
    await supply.close();
  });

  test('has what it used replaced when it is told so, and nobody else has', async () => {
    const { options, alive, made } = yard(['alice', 'bob'], 1);
    const supply = createPartySupply(options);
    await supply.start();
    await expect.poll(alive).toHaveLength(4);
    await supply.use('alice', pid, never);
    await supply.use('bob', pid, never);
    await new Promise((resolve) => void setTimeout(resolve, 20));
    expect(made).toHaveLength(4);
    supply.replace('alice');
    await expect.poll(() => made.length).toBe(5);
    await new Promise((resolve) => void setTimeout(resolve, 20));
    expect(made).toHaveLength(5);
    supply.replace('bob');
    await expect.poll(() => made.length).toBe(6);
    expect(alive()).toHaveLength(4);
    await supply.close();
  });

  test('that may not call has none', async () => {
    const { options } = yard(['alice'], 1);
    const supply = createPartySupply(options);
    await supply.start();
    await expect(supply.use('mallory', pid, never)).rejects.toMatchObject({ code: 'jail/compute-failed' });
    supply.replace('mallory');
    await supply.close();
  });
});

test('one that cannot be made is no reason not to make the next', async () => {
  const nursery = createNursery(1).family();
  const made: string[] = [];
  nursery.raise(() => Promise.reject(new Error('broken')));
  nursery.raise(() => {
    throw new Error('broken at once');
  });
  nursery.raise(async () => void made.push('whole'));
  await expect.poll(() => made).toEqual(['whole']);
});

test('a function whose jails take long to be made keeps nobody else’s waiting', async () => {
  const nursery = createNursery(2);
  const [slow, quick] = [nursery.family(), nursery.family()];
  const begun: string[] = [];
  for (const name of ['slow 1', 'slow 2', 'slow 3'])
    slow.raise(() => {
      begun.push(name);
      return new Promise(() => {});
    });
  quick.raise(async () => void begun.push('quick 1'));
  quick.raise(async () => void begun.push('quick 2'));
  await expect.poll(() => begun).toEqual(['slow 1', 'slow 2', 'quick 1', 'quick 2']);
});

test('none is begun but in a gap', async () => {
  const gaps: (() => void)[] = [];
  const family = createNursery(2, { now: () => 0, inGap: (run) => void gaps.push(run) }).family();
  const begun: number[] = [];
  for (const number of [1, 2, 3]) family.raise(async () => void begun.push(number));
  expect([gaps.length, begun]).toEqual([2, []]);
  gaps.shift()?.();
  expect(begun).toEqual([1]);
  await expect.poll(() => gaps.length).toBe(2);
});

test('each is wanted from when it was asked for, not from when its turn came', async () => {
  let time = 100;
  const since: number[] = [];
  const gaps: (() => void)[] = [];
  const inGap = (run: () => void, from: number): void => {
    since.push(from);
    gaps.push(run);
  };
  const family = createNursery(1, { now: () => time, inGap }).family();
  family.raise(async () => {});
  time = 500;
  family.raise(async () => {});
  time = 900;
  family.part(() => {});
  expect(since).toEqual([100, 900]);
  gaps.shift()?.();
  await expect.poll(() => since).toEqual([100, 900, 500]);
});
