/** What is to be done for several parties, one after the other: each has its turn however much another one has waiting. */
export interface Rotation<T> {
  add(party: string, item: T): void;
  /** Takes what was added first of the party whose turn it is; undefined where there is nothing. */
  next(): T | undefined;
  isEmpty(): boolean;
}

export function createRotation<T>(): Rotation<T> {
  /** None of them empty; the one whose turn it is first. */
  const queues = new Map<string, T[]>();
  return {
    add(party, item) {
      const queue = queues.get(party);
      if (queue === undefined) queues.set(party, [item]);
      else queue.push(item);
    },
    next() {
      const [party, queue] = queues.entries().next().value ?? [];
      if (party === undefined || queue === undefined) return undefined;
      const item = queue.shift();
      queues.delete(party);
      if (queue.length > 0) queues.set(party, queue);
      return item;
    },
    isEmpty: () => queues.size === 0,
  };
}
