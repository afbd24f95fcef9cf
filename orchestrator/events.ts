/** Live news of collaborations, for those who listen now. Nothing is kept: whoever comes later reads the state. */
import type { JsonObject } from './store/store.ts';

export interface CollaborationEvent {
  readonly event: 'state' | 'progress';
  readonly data: JsonObject;
}

export interface Events {
  publish(id: string, event: CollaborationEvent): void;
  /** Returns what ends the subscription. */
  subscribe(id: string, listener: (event: CollaborationEvent) => void): () => void;
}

export function createEvents(): Events {
  const listeners = new Map<string, Set<(event: CollaborationEvent) => void>>();
  return {
    publish(id, event) {
      for (const listener of listeners.get(id) ?? []) listener(event);
    },
    subscribe(id, listener) {
      const own = listeners.get(id) ?? new Set();
      listeners.set(id, own.add(listener));
      return () => {
        own.delete(listener);
        if (own.size === 0) listeners.delete(id);
      };
    },
  };
}
