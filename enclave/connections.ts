/**
 * All connections at once. Their number is bounded, and what one peer holds it takes from nobody else: where every place
 * is taken, the oldest connection that has not shown who it is gives way, never a party's session; and a party that opens
 * more sessions than its share closes its own oldest.
 */
import type { Duplex } from 'node:stream';
import { serveConnection } from './connection.ts';
import { controllerForMany } from './deadline.ts';
import type { Gate } from './gate.ts';
import { LIMITS } from './protocol/limits.ts';

export interface Connections {
  accept(stream: Duplex): void;
  /** Ends all of them. Resolves when none is left. */
  close(): Promise<void>;
}

interface Place {
  readonly end: AbortController;
  party?: string;
}

/** `fault`: an error of our own in one connection, which has been closed for it. */
export function createConnections(gate: Gate, fault: (error: unknown) => void): Connections {
  // In the order of their arrival.
  const places = new Map<Place, Promise<void>>();
  const share = Math.max(1, Math.floor(LIMITS.connections / (2 * Object.keys(gate.policy.parties).length)));
  let closed = false;

  const giveWay = (place: Place | undefined): boolean => {
    place?.end.abort(new Error('gave way'));
    return place !== undefined && places.delete(place);
  };
  const oldest = (party: string | undefined): Place | undefined =>
    [...places.keys()].find((place) => place.party === party);

  const authenticated = (place: Place, party: string): void => {
    const own = [...places.keys()].filter((other) => other.party === party);
    if (own.length >= share) giveWay(own[0]);
    place.party = party;
  };

  return {
    accept(stream) {
      if (closed || (places.size >= LIMITS.connections && !giveWay(oldest(undefined)))) {
        stream.destroy();
        return;
      }
      const place: Place = { end: controllerForMany() };
      const events = { authenticated: (party: string) => authenticated(place, party) };
      const served = serveConnection(gate, stream, events, place.end.signal)
        .catch(fault)
        .finally(() => {
          stream.destroy();
          places.delete(place);
        });
      places.set(place, served);
    },
    async close() {
      closed = true;
      const left = [...places];
      for (const [place] of left) place.end.abort(new Error('the enclave ends'));
      await Promise.all(left.map(([, served]) => served));
    },
  };
}
