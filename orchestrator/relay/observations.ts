/**
 * What the host saw. The relay is in the position of an eavesdropper, so it keeps the eavesdropper's notebook: who
 * connected, when, how many bytes in which frames. The demo prints it, and a reader can compare it with what the
 * threat model says leaks. Bounded: old entries make room, the totals stay.
 */
export interface FrameSeen {
  /** Milliseconds since 1970, by the host's clock. */
  readonly at: number;
  readonly direction: 'to-enclave' | 'from-enclave';
  readonly bytes: number;
}

interface Seen {
  readonly openedAt: number;
  readonly closedAt: number | null;
  readonly bytesToEnclave: number;
  readonly bytesFromEnclave: number;
  /** How it ended, or null while it is open. */
  readonly outcome: string | null;
}

export interface SessionSeen extends Seen {
  readonly kind: 'session';
  /** Network address of the party's end. */
  readonly from: string;
  readonly frames: readonly FrameSeen[];
}

export interface OutboundSeen extends Seen {
  readonly kind: 'outbound';
  /** What the enclave asked to be connected to. */
  readonly host: string;
  readonly port: number;
}

/** The enclave asked the host itself for something: launch information, a contribution, to keep or give back a record. */
export interface ServiceSeen extends Seen {
  readonly kind: 'service';
  readonly asked: string;
}

export type Observation = SessionSeen | OutboundSeen | ServiceSeen;

export interface Totals {
  readonly sessions: number;
  readonly outboundConnections: number;
  readonly outboundRefused: number;
  readonly serviceRequests: number;
  readonly bytesToEnclave: number;
  readonly bytesFromEnclave: number;
}

/** An entry that is still being written. */
export interface OpenObservation {
  saw(direction: FrameSeen['direction'], bytes: number): void;
  closed(outcome: string): void;
}

export interface Notebook {
  session(from: string): OpenObservation;
  outbound(host: string, port: number): OpenObservation;
  service(asked: string): OpenObservation;
  entries(): readonly Observation[];
  totals(): Totals;
}

const MOST_ENTRIES = 500;
const MOST_FRAMES = 500;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };
type Open = Writable<SessionSeen> | Writable<OutboundSeen> | Writable<ServiceSeen>;

/** `now` gives milliseconds since 1970. */
export function createNotebook(now: () => number): Notebook {
  const entries: Observation[] = [];
  const totals: Writable<Totals> = {
    sessions: 0,
    outboundConnections: 0,
    outboundRefused: 0,
    serviceRequests: 0,
    bytesToEnclave: 0,
    bytesFromEnclave: 0,
  };

  const openEntry = (entry: Open, frames?: FrameSeen[]): OpenObservation => {
    entries.push(entry);
    if (entries.length > MOST_ENTRIES) entries.shift();
    return {
      saw(direction, bytes) {
        const counter = direction === 'to-enclave' ? 'bytesToEnclave' : 'bytesFromEnclave';
        entry[counter] += bytes;
        totals[counter] += bytes;
        if (frames !== undefined && frames.length < MOST_FRAMES) frames.push({ at: now(), direction, bytes });
      },
      closed(outcome) {
        if (entry.closedAt !== null) return;
        entry.closedAt = now();
        entry.outcome = outcome;
        if (entry.kind === 'outbound' && outcome.startsWith('refused')) totals.outboundRefused += 1;
      },
    };
  };
  const blank = (): Seen => ({
    openedAt: now(),
    closedAt: null,
    bytesToEnclave: 0,
    bytesFromEnclave: 0,
    outcome: null,
  });

  return {
    session(from) {
      totals.sessions += 1;
      const frames: FrameSeen[] = [];
      return openEntry({ kind: 'session', from, frames, ...blank() }, frames);
    },
    outbound(host, port) {
      totals.outboundConnections += 1;
      return openEntry({ kind: 'outbound', host, port, ...blank() });
    },
    service(asked) {
      totals.serviceRequests += 1;
      return openEntry({ kind: 'service', asked, ...blank() });
    },
    entries: () => structuredClone(entries),
    totals: () => ({ ...totals }),
  };
}

/** Of several enclaves of one collaboration, together. */
export function observed(notebooks: readonly Notebook[]): {
  readonly totals: Totals;
  readonly entries: readonly Observation[];
} {
  const all = notebooks.map((notebook) => notebook.totals());
  const sum = (name: keyof Totals): number => all.reduce((total, one) => total + one[name], 0);
  return {
    totals: {
      sessions: sum('sessions'),
      outboundConnections: sum('outboundConnections'),
      outboundRefused: sum('outboundRefused'),
      serviceRequests: sum('serviceRequests'),
      bytesToEnclave: sum('bytesToEnclave'),
      bytesFromEnclave: sum('bytesFromEnclave'),
    },
    entries: notebooks.flatMap((notebook) => notebook.entries()).sort((a, b) => a.openedAt - b.openedAt),
  };
}
