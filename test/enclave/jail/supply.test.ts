/** Which jail serves which call, by scripted jails: how long one lives is a choice of numbers. */
import { describe, expect, test } from 'vitest';
import { FRAME } from '../../../enclave/jail/frames.ts';
import type { Jail } from '../../../enclave/jail/process.ts';
import { createSupply, type SupplyOptions } from '../../../enclave/jail/supply.ts';

interface Yard {
  readonly made: (Jail & { readonly prepared: () => boolean })[];
  readonly alive: () => readonly number[];
  readonly options: Pick<SupplyOptions, 'spawn' | 'prepare'>;
}

/** Jails that do nothing but live and die; `broken` pids cannot be made ready. */
function yard(broken: readonly number[] = []): Yard {
  const made: Yard['made'] = [];
  const ready = new Set<number>();
  return {
    made,
    alive: () => made.filter((jail) => jail.alive()).map(({ pid }) => pid),
    options: {
      spawn() {
        let alive = true;
        const pid = made.length + 1;
        const jail = {
          pid,
          prepared: () => ready.has(pid),
          alive: () => alive,
          ask: async () => ({ type: FRAME.ready, body: new Uint8Array() }),
          kill: async () => {
            alive = false;
          },
        };
        made.push(jail);
        return jail;
      },
      async prepare(jail) {
        await Promise.resolve();
        if (broken.includes(jail.pid)) {
          await jail.kill();
          throw new Error(`jail ${jail.pid} is broken`);
        }
        ready.add(jail.pid);
      },
    },
  };
}

const never = new AbortController().signal;
const pid = async (jail: Jail): Promise<number> => jail.pid;
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe('jails used again', () => {
  const life = { lanes: 1, spares: 0, callsPerJail: Number.POSITIVE_INFINITY } as const;

  test('one serves all, one call after the other, in the order they came', async () => {
    const { made, options } = yard();
    const supply = createSupply({ ...options, ...life });
    await supply.start();
    const order: number[] = [];
    let inside = 0;
    const calls = [1, 2, 3, 4].map((call) =>
      supply.use(async (jail) => {
        inside++;
        expect(inside).toBe(1);
        await settled();
        order.push(call);
        inside--;
        return jail.pid;
      }, never),
    );
    expect(await Promise.all(calls)).toEqual([1, 1, 1, 1]);
    expect(order).toEqual([1, 2, 3, 4]);
    expect(made).toHaveLength(1);
  });

  test('one that dies at work is replaced while nobody waits', async () => {
    const { made, options } = yard();
    const supply = createSupply({ ...options, ...life });
    await supply.start();
    const crash = supply.use(async (jail) => {
      await jail.kill();
      throw new Error('crash');
    }, never);
    await expect(crash).rejects.toThrow('crash');
    await settled();
    expect(made.map((jail) => jail.prepared())).toEqual([true, true]);
    expect(await supply.use(pid, never)).toBe(2);
  });

  test('one that refuses a call lives on', async () => {
    const { options } = yard();
    const supply = createSupply({ ...options, ...life });
    await supply.start();
    await expect(supply.use(() => Promise.reject(new Error('bad picture')), never)).rejects.toThrow('bad picture');
    expect(await supply.use(pid, never)).toBe(1);
  });

  test('one at work is killed when its call is aborted, and the reason told at once', async () => {
    const { options, alive } = yard();
    const supply = createSupply({ ...options, ...life });
    await supply.start();
    const late = new AbortController();
    const hang = supply.use(() => new Promise<never>(() => {}), late.signal);
    const next = supply.use(pid, never);
    await settled();
    late.abort(new Error('late'));
    await expect(hang).rejects.toThrow('late');
    expect(await next).toBe(2);
    expect(alive()).toEqual([2]);
  });

  test('a call that is aborted while it waits takes nothing with it', async () => {
    const { options, alive } = yard();
    const supply = createSupply({ ...options, ...life });
    await supply.start();
    let finish = (): void => {};
    const first = supply.use(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
      never,
    );
    await settled();
    const late = new AbortController();
    const waiting = supply.use(pid, late.signal);
    late.abort(new Error('late'));
    await expect(waiting).rejects.toThrow('late');
    finish();
    await first;
    expect(await supply.use(pid, never)).toBe(1);
    expect(alive()).toEqual([1]);
  });

  describe('one that cannot be made ready', () => {
    /** A call in which the first jail dies. */
    const crash = (jail: Jail): Promise<never> => jail.kill().then(() => Promise.reject(new Error('crash')));

    test('costs no call when it is found out before one comes', async () => {
      const { options, made } = yard([2]);
      const supply = createSupply({ ...options, ...life });
      await supply.start();
      await expect(supply.use(crash, never)).rejects.toThrow('crash');
      await settled();
      expect(made.map((jail) => jail.alive())).toEqual([false, false]);
      expect(await supply.use(pid, never)).toBe(3);
    });

    test('costs the one call that waits for it, not every later one', async () => {
      const { options } = yard([2]);
      const supply = createSupply({ ...options, ...life });
      await supply.start();
      const calls = [supply.use(crash, never), supply.use(pid, never), supply.use(pid, never)];
      expect(await Promise.allSettled(calls)).toMatchObject([
        { status: 'rejected', reason: { message: 'crash' } },
        { status: 'rejected', reason: { message: 'jail 2 is broken' } },
        { status: 'fulfilled', value: 3 },
      ]);
    });
  });

  test('the first that cannot be made ready is told', async () => {
    const supply = createSupply({ ...yard([1]).options, ...life });
    await expect(supply.start()).rejects.toThrow('jail 1 is broken');
  });
});

test('jails of one call each, with a warm spare', async () => {
  const { made, alive, options } = yard();
  const supply = createSupply({ ...options, lanes: 2, spares: 1, callsPerJail: 1 });
  await supply.start();
  await settled();
  const seen: number[] = [];
  for (let call = 0; call < 3; call++) {
    seen.push(await supply.use(pid, never));
    await settled();
    // The next call's jail is ready before it comes.
    expect(alive().length).toBeGreaterThanOrEqual(2);
    expect(made.filter((jail) => jail.alive()).every((jail) => jail.prepared())).toBe(true);
  }
  expect(new Set(seen).size).toBe(3);
  const together = await Promise.all([1, 2, 3].map(() => supply.use(pid, never)));
  expect(new Set([...seen, ...together]).size).toBe(6);
  await supply.close();
  expect(alive()).toEqual([]);
  await expect(supply.use(pid, never)).rejects.toMatchObject({ code: 'jail/compute-failed' });
});
