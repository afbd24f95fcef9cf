export type Serially = <T>(work: () => Promise<T>) => Promise<T>;

/** Runs pieces of work one after the other, each whether or not the one before it failed. */
export function serially(): Serially {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work);
    last = next.catch(() => {});
    return next;
  };
}
