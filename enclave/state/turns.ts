/** One piece of work at a time under each name, in the order of asking. */
export interface Turns {
  /** Runs `work` when its turn has come, whatever became of those before it; not at all once `signal` is aborted. */
  take<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createTurns(): Turns {
  const last = new Map<string, Promise<void>>();
  return {
    async take(name, signal, work) {
      const before = last.get(name);
      let done = (): void => {};
      const mine = new Promise<void>((resolve) => (done = resolve));
      last.set(name, mine);
      try {
        await before;
        signal.throwIfAborted();
        return await work();
      } finally {
        done();
        if (last.get(name) === mine) last.delete(name);
      }
    },
  };
}
