/** The parties' sessions with the enclaves: one that went well is used again, one that did not is thrown away. */
import { randomBytes } from 'node:crypto';
import { startSession } from '../../../parties/cli/party.ts';
import type { Session } from '../../../parties/session/session.ts';
import type { Person } from '../../flow/collaboration.ts';
import type { Outcome } from '../history.ts';
import type { RealCollaboration } from './place.ts';

export interface Sessions {
  /** Asks that copy for a counter's next; gives up after `ms`. `startedAt`: when it came to its turn. */
  call(
    party: Person,
    copy: number,
    name: string,
    id: Uint8Array,
    ms: number,
  ): Promise<{ readonly startedAt: number; readonly outcome: Outcome }>;
  /** Whether nobody got through to that copy when it was tried last. */
  isAway(party: Person, copy: number): boolean;
  /** A word with that copy, which lends it the party's key. Rejects where there is none. */
  greet(party: Person, copy: number, ms: number): Promise<void>;
  close(): Promise<void>;
}

interface Open {
  readonly session: Session;
  /** Ends it, whatever it waits for. */
  readonly cut: AbortController;
}

/** Of one party with one copy, at once. Whoever finds them all at work waits. */
const MOST = 3;

interface Pool {
  readonly idle: Open[];
  readonly waiting: (() => void)[];
  atWork: number;
  isAway: boolean;
}

/** As `place.ts` has them in the policy. */
const TERMS = { input: { buckets: [1_024] }, release: { afterMs: 0 } };
/** No function of the policy. */
const NOBODYS = 'greeting';
const SILENT = { update: () => {}, end: () => {} };

export function createSessions(collaboration: RealCollaboration): Sessions {
  const pools = new Map<string, Pool>();
  const all = new Set<Open>();
  let isClosed = false;

  const poolOf = (key: string): Pool => {
    const pool = pools.get(key) ?? { idle: [], waiting: [], atWork: 0, isAway: false };
    pools.set(key, pool);
    return pool;
  };
  const open = async (party: Person, copy: number, cut: AbortController): Promise<Open> => {
    const { context, io } = collaboration.context(party, copy, cut.signal);
    const opened = { session: await startSession(context, io, SILENT), cut };
    all.add(opened);
    return opened;
  };
  const drop = async (one: Open): Promise<void> => {
    all.delete(one);
    one.cut.abort(new Error('given up'));
    await one.session.close().catch(() => {});
  };

  /** One session of the pool, or a new one, for one question. */
  async function over<Reply>(
    party: Person,
    copy: number,
    ms: number,
    work: (session: Session) => Promise<Reply>,
  ): Promise<Reply> {
    const pool = poolOf(`${party} ${copy}`);
    if (pool.atWork === MOST) await new Promise<void>((turn) => void pool.waiting.push(turn));
    else pool.atWork += 1;
    const kept = pool.idle.pop();
    const cut = kept?.cut ?? new AbortController();
    const late = setTimeout(() => cut.abort(new Error(`no answer in ${ms} ms`)), ms);
    let used = kept;
    try {
      if (isClosed) throw new Error('it is over');
      used ??= await open(party, copy, cut).catch((error: unknown) => {
        pool.isAway = true;
        throw error;
      });
      pool.isAway = false;
      const reply = await work(used.session);
      pool.idle.push(used);
      return reply;
    } catch (error) {
      if (used !== undefined) await drop(used);
      throw error;
    } finally {
      clearTimeout(late);
      const next = pool.waiting.shift();
      if (next === undefined) pool.atWork -= 1;
      else next();
    }
  }

  return {
    async call(party, copy, name, id, ms) {
      let startedAt = performance.now();
      try {
        const reply = await over(party, copy, ms, (session) => {
          startedAt = performance.now();
          return session.call(name, id, new Uint8Array(0), TERMS);
        });
        if (reply.t === 'answer') return { startedAt, outcome: { answer: reply.output } };
        const { refused, detail } = reply;
        return { startedAt, outcome: detail === undefined ? { refused } : { refused, detail } };
      } catch (error) {
        return {
          startedAt,
          outcome: { nothing: error instanceof Error ? error.message.slice(0, 200) : String(error) },
        };
      }
    },
    isAway: (party, copy) => poolOf(`${party} ${copy}`).isAway,
    async greet(party, copy, ms) {
      const id = new Uint8Array(randomBytes(32));
      // A status would have the enclave ask the anchors about every counter there is.
      await over(party, copy, ms, (session) => session.call(NOBODYS, id, new Uint8Array(0), TERMS));
    },
    async close() {
      isClosed = true;
      await Promise.all([...all].map(drop));
    },
  };
}
