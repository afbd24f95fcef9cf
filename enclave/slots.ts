/** One at a time: a party that has a call in flight waits for its answer before it makes the next. */
export interface Slots {
  /** Undefined while somebody holds the slot; else a function that frees it, once. */
  enter(name: string): (() => void) | undefined;
}

export function createSlots(): Slots {
  const held = new Map<string, symbol>();
  return {
    enter(name) {
      if (held.has(name)) return undefined;
      const holder = Symbol(name);
      held.set(name, holder);
      return () => {
        if (held.get(name) === holder) held.delete(name);
      };
    },
  };
}
