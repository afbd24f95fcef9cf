/** What comes first of many, without sorting them: a binary heap. */
export interface Heap<T> {
  push(item: T): void;
  /** The first of all; undefined where there is none. It stays. */
  first(): T | undefined;
  /** Takes the first of all away. */
  shift(): void;
}

/** `before` must never call two items equal, or their order is not said. */
export function createHeap<T extends object>(before: (a: T, b: T) => boolean): Heap<T> {
  const items: T[] = [];
  const sink = (item: T): void => {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = items[child];
      if (left === undefined) break;
      const right = items[child + 1];
      if (right !== undefined && before(right, left)) child += 1;
      const least = items[child];
      if (least === undefined || before(item, least)) break;
      items[at] = least;
      at = child;
    }
    items[at] = item;
  };
  return {
    push(item) {
      let at = items.push(item) - 1;
      while (at > 0) {
        const up = (at - 1) >> 1;
        const parent = items[up];
        if (parent === undefined || before(parent, item)) break;
        items[at] = parent;
        at = up;
      }
      items[at] = item;
    },
    first: () => items[0],
    shift() {
      const last = items.pop();
      if (last !== undefined && items.length > 0) sink(last);
    },
  };
}
