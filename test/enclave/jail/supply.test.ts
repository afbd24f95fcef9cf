/** Which jail serves which call of one party, by scripted jails. */
import { describe, expect, test } from 'vitest';
import { createNursery } from '../../../enclave/jail/nursery.ts';
import type { Jail } from '../../../enclave/jail/process.ts';
import { createSupply, type Supply, type SupplyOptions } from '../../../enclave/jail/supply.ts';
import { scriptedJails, type ScriptedJails } from './scripted-jails.ts';

interface Stocked extends ScriptedJails {
  readonly supply: Supply;
}

/** A supply of warm jails: pids 1 and 2, where neither is broken. */
async function stocked(broken: readonly number[] = []): Promise<Stocked> {
  const jails = scriptedJails(1, broken);
  const supply = createSupply({ ...jails.options, nursery: createNursery(2).family() });
  await supply.start();
  supply.restock();
  await expect.poll(() => jails.made.length).toBe(2);
  await expect.poll(() => jails.growing.now).toBe(0);
  return { ...jails, supply };
}

const never = new AbortController().signal;
const pid = async (jail: Jail): Promise<number> => jail.pid;
const crash = (jail: Jail): Promise<never> => jail.kill().then(() => Promise.reject(new Error('crash')));

describe('a jail', () => {
  test('serves one call and ends; the next is warm already, and what is missing is made when that is said', async () => {
    const { supply, alive, made } = await stocked();
    expect([await supply.use(pid, never), await supply.use(pid, never)]).toEqual([1, 2]);
    expect(made).toHaveLength(2);
    supply.restock();
    supply.restock();
    await expect.poll(alive).toEqual([3, 4]);
    await supply.close();
    expect(alive()).toEqual([]);
    await expect(supply.use(pid, never)).rejects.toMatchObject({ code: 'jail/compute-failed' });
    supply.restock();
    expect(made).toHaveLength(4);
  });

  test('ends when its answer has left, and not before; no second call finds it', async () => {
    const { supply, alive } = await stocked();
    await supply.use(pid, never);
    expect(alive()).toEqual([1, 2]);
    supply.restock();
    expect(alive()).not.toContain(1);
    await expect.poll(alive).toEqual([2, 3]);
  });

  test('ends at the latest when the next call comes', async () => {
    const { supply, alive } = await stocked();
    await supply.use(pid, never);
    expect(await supply.use(async (jail) => [jail.pid, ...alive()], never)).toEqual([2, 2]);
  });

  test('ends where it refuses its call, too', async () => {
    const { supply, alive } = await stocked();
    await expect(supply.use(() => Promise.reject(new Error('bad picture')), never)).rejects.toThrow('bad picture');
    expect(await supply.use(async (jail) => [jail.pid, ...alive()], never)).toEqual([2, 2]);
  });

  test('that dies at work costs its one call', async () => {
    const { supply } = await stocked();
    await expect(supply.use(crash, never)).rejects.toThrow('crash');
    expect(await supply.use(pid, never)).toBe(2);
  });

  test('that died while it waited costs none', async () => {
    const { supply, made } = await stocked();
    await made[0]?.kill();
    expect(await supply.use(pid, never)).toBe(2);
  });

  test('at work is killed when its call is aborted, and the reason told at once', async () => {
    const { supply, alive } = await stocked();
    const late = new AbortController();
    const hang = supply.use(() => new Promise<never>(() => {}), late.signal);
    await Promise.resolve();
    late.abort(new Error('late'));
    await expect(hang).rejects.toThrow('late');
    expect(alive()).toEqual([2]);
  });

  test('that was still getting ready when its call was aborted serves the next', async () => {
    const jails = scriptedJails(20);
    const supply = createSupply({ ...jails.options, nursery: createNursery(1).family() });
    const late = new AbortController();
    const call = supply.use(pid, late.signal);
    late.abort(new Error('late'));
    await expect(call).rejects.toThrow('late');
    expect(await supply.use(pid, never)).toBe(1);
    expect(jails.made).toHaveLength(1);
  });

  test('is made at once for a call that finds none', async () => {
    const { supply } = await stocked();
    const calls = [await supply.use(pid, never), await supply.use(pid, never), await supply.use(pid, never)];
    expect(calls).toEqual([1, 2, 3]);
  });
});

/** A supply whose first jail is ready. What is to start or to end waits in `gaps` until the test runs it. */
async function inHeldGaps(
  more: Pick<SupplyOptions, 'prefault'> = {},
): Promise<Stocked & { readonly gaps: (() => void)[] }> {
  const gaps: (() => void)[] = [];
  const jails = scriptedJails(1);
  const nursery = createNursery(10, { now: () => 0, inGap: (run) => void gaps.push(run) }).family();
  const supply = createSupply({ ...jails.options, ...more, nursery });
  await supply.start();
  return { ...jails, supply, gaps };
}

test('what a call used ends in a gap, not at once', async () => {
  const { supply, alive, gaps } = await inHeldGaps();
  await supply.use(pid, never);
  supply.restock();
  expect(alive()).toEqual([1]);
  gaps.shift()?.();
  expect(alive()).toEqual([]);
  await supply.close();
});

test('however often it is told to restock, each end and each start is planned once', async () => {
  const { supply, alive, gaps } = await inHeldGaps({ prefault: async () => {} });
  for (let i = 0; i < 5; i++) supply.restock();
  // The first to be prefaulted, and a second to be made.
  expect(gaps).toHaveLength(2);
  await supply.use(pid, never);
  for (let i = 0; i < 5; i++) supply.restock();
  // The end of the one that was used, and one more to be made.
  expect(gaps).toHaveLength(4);
  gaps.splice(0).forEach((run) => run());
  await expect.poll(alive).toEqual([2, 3]);
  await supply.close();
});

test('a gap that comes during the next call ends nothing of that call', async () => {
  const { supply, alive, gaps } = await inHeldGaps();
  await supply.use(pid, never);
  supply.restock();
  const late = gaps.splice(0);
  expect(await supply.use(pid, never)).toBe(2);
  late.forEach((run) => run());
  expect(alive()).toContain(2);
  supply.restock();
  gaps.splice(0).forEach((run) => run());
  expect(alive()).not.toContain(2);
  await supply.close();
});

describe('the jail that is next', () => {
  interface Prefaulting extends Stocked {
    /** Pids, as it began. */
    readonly prefaulted: readonly number[];
    readonly rested: readonly number[];
    /** What has begun comes to its end. */
    readonly goOn: () => void;
  }

  /** Two jails; the first waits for `goOn`. `fails`: pids that cannot. */
  async function prefaulting(fails: readonly number[] = []): Promise<Prefaulting> {
    const prefaulted: number[] = [];
    const rested: number[] = [];
    const waiting: (() => void)[] = [];
    const { options, ...jails } = scriptedJails(1);
    const supply = createSupply({
      ...options,
      spawn: () => {
        const jail = options.spawn();
        return { ...jail, rest: () => void rested.push(jail.pid) };
      },
      prefault: async (jail) => {
        prefaulted.push(jail.pid);
        await new Promise<void>((resolve) => waiting.push(resolve));
        if (!fails.includes(jail.pid)) return;
        await jail.kill();
        throw new Error('no memory');
      },
      nursery: createNursery(2).family(),
    });
    await supply.start();
    supply.restock();
    await expect.poll(() => rested).toEqual([1, 2]);
    await expect.poll(() => prefaulted).toEqual([1]);
    const goOn = (): void => waiting.splice(0).forEach((resolve) => resolve());
    return { ...jails, options, supply, prefaulted, rested, goOn };
  }

  test('takes beforehand what a call takes, and rests again; the one behind it does when its turn comes', async () => {
    const { supply, prefaulted, rested, goOn } = await prefaulting();
    goOn();
    await expect.poll(() => rested).toEqual([1, 2, 1]);
    expect(await supply.use(pid, never)).toBe(1);
    expect(prefaulted).toEqual([1]);
    supply.restock();
    supply.restock();
    await expect.poll(() => prefaulted).toEqual([1, 2]);
    goOn();
    await expect.poll(() => rested.filter((one) => one === 2)).toHaveLength(2);
    expect(await supply.use(pid, never)).toBe(2);
    await supply.close();
  });

  test('has its call wait where that comes in the middle of it', async () => {
    const { supply, goOn } = await prefaulting();
    let isServed = false;
    const call = supply.use(pid, never).finally(() => (isServed = true));
    await new Promise((resolve) => void setTimeout(resolve, 10));
    expect(isServed).toBe(false);
    goOn();
    expect(await call).toBe(1);
    await supply.close();
  });

  test('serves the next call where the one that waited for it was aborted', async () => {
    const { supply, goOn } = await prefaulting();
    const late = new AbortController();
    const call = supply.use(pid, late.signal);
    late.abort(new Error('late'));
    await expect(call).rejects.toThrow('late');
    goOn();
    expect(await supply.use(pid, never)).toBe(1);
    await supply.close();
  });

  test('stays small while the one before it is at work', async () => {
    const { supply, prefaulted, rested, goOn } = await prefaulting();
    goOn();
    await expect.poll(() => rested).toEqual([1, 2, 1]);
    await supply.use(pid, never);
    let finish: (() => void) | undefined;
    supply.restock(); // asks for 2, and for a third that is made while 2 is at work
    const work = supply.use((jail) => new Promise<number>((resolve) => (finish = () => resolve(jail.pid))), never);
    await expect.poll(() => prefaulted).toEqual([1, 2]);
    goOn();
    await expect.poll(() => finish).toBeDefined();
    await expect.poll(() => rested).toContain(3);
    await new Promise((resolve) => void setTimeout(resolve, 10));
    expect(prefaulted).toEqual([1, 2]);
    finish?.();
    expect(await work).toBe(2);
    await supply.close();
  });

  test('serves its call as it is where that comes too soon', async () => {
    const { supply, prefaulted, goOn } = await prefaulting();
    goOn();
    expect([await supply.use(pid, never), await supply.use(pid, never)]).toEqual([1, 2]);
    expect(prefaulted).toEqual([1]);
    await supply.close();
  });

  test('costs no call where it cannot', async () => {
    const { supply, prefaulted, alive, goOn } = await prefaulting([2]);
    goOn();
    await supply.use(pid, never);
    supply.restock();
    await expect.poll(() => prefaulted).toEqual([1, 2]);
    goOn();
    await expect.poll(alive).not.toContain(2);
    expect(await supply.use(pid, never)).toBe(3);
    await supply.close();
  });
});

describe('one that cannot be made ready', () => {
  test('is told where it is the first', async () => {
    const { options } = scriptedJails(1, [1]);
    const supply = createSupply({ ...options, nursery: createNursery(1).family() });
    await expect(supply.start()).rejects.toThrow('jail 1 is broken');
  });

  test('costs no call when it is found out before one comes', async () => {
    const { supply } = await stocked([2]);
    expect([await supply.use(pid, never), await supply.use(pid, never)]).toEqual([1, 3]);
  });

  test('costs the one call that waits for it, not every later one', async () => {
    const { supply } = await stocked([3]);
    await supply.use(pid, never);
    await supply.use(pid, never);
    await expect(supply.use(pid, never)).rejects.toThrow('jail 3 is broken');
    expect(await supply.use(pid, never)).toBe(4);
  });
});
