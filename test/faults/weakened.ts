/** Every protective rule, switched off one at a time: what the checker must find out within 5,000 runs of each. */
import { createHash } from 'node:crypto';
import type { Anchor } from '../../enclave/claims/anchor.ts';
import type { S3 } from '../../enclave/claims/s3.ts';
import type { TicketBook, TicketRefused } from '../../enclave/claims/tickets.ts';
import type { Gate } from '../../enclave/gate.ts';
import type { OpenedState } from '../../enclave/state/opening.ts';
import type { Records } from '../../enclave/state/records.ts';
import type { Plan } from './simulation/plan.ts';
import { COUNTER, MODEL } from './simulation/plan.ts';
import type { Weakening } from './simulation/weakening.ts';

const withCopies = (plan: Plan): Plan => ({ ...plan, copies: Math.max(2, plan.copies) });

/** Copies come and go, and owners put markers everywhere. */
const withMarkers = (plan: Plan): Plan => ({
  ...withCopies(plan),
  blows: { ...plan.blows, marker: plan.stormMs / 40, kill: plan.stormMs / 4 },
});

/** Outages that last longer than the enclave's patience with one anchor, and calls all the while. */
const withOutages = (plan: Plan): Plan => ({
  ...withCopies(plan),
  stormMs: OUTAGES_MS,
  storm: { ...plan.storm, anchors: { ...plan.storm.anchors, lostAfter: 0.2 } },
  calls: Object.fromEntries(
    Object.entries(plan.calls).map(([party, calls]) => [
      party,
      calls.map((call, i) => ({ ...call, after: (OUTAGES_MS * i) / calls.length })),
    ]),
  ),
  blows: { ...NO_BLOWS, partition: 6_000, anchor: 15_000, kill: 30_000, start: 2_000 },
});
const NO_BLOWS: Plan['blows'] = {
  kill: Infinity,
  start: Infinity,
  orchestrator: Infinity,
  anchor: Infinity,
  partition: Infinity,
  rollback: Infinity,
  loss: Infinity,
  snapshot: Infinity,
  marker: Infinity,
  foreign: Infinity,
  lie: Infinity,
};
const OUTAGES_MS = 120_000;

/**
 * One owner conspires with the host: each copy finds its store as if there were no other. Two different requests of one
 * party, who has one call, to whatever copy each of them meets.
 */
const withAccomplice = (plan: Plan): Plan => {
  const name = plan.modelOwner === undefined ? COUNTER : MODEL;
  const [parties, party] = [['alice', 'bob'], 'alice'] as const;
  const call = { function: name, after: 0, twice: false, reused: false, again: 0 };
  return {
    ...plan,
    parties,
    anchors: 2,
    quorum: 2,
    lying: [0],
    forksTickets: true,
    seal: 'layered',
    modelOwner: plan.modelOwner === undefined ? undefined : party,
    withdrawal: undefined,
    copies: 2,
    quotas: { [name]: { [party]: 1 } },
    calls: { [party]: [1, 2].map((input) => ({ ...call, input: Uint8Array.of(input) })) },
    blows: { ...NO_BLOWS, start: 100, kill: plan.blows.kill },
  };
};

/** The same with calls to spare: the answer of one is asked for again, at whatever copy. */
const withAccompliceLater = (plan: Plan): Plan => {
  const bent = withAccomplice({ ...plan, modelOwner: undefined });
  const call = { function: COUNTER, twice: false, reused: false, again: 2 };
  return {
    ...bent,
    quotas: { [COUNTER]: { bob: 4 } },
    calls: { bob: [1, 2].map((input) => ({ ...call, after: 200 * input, input: Uint8Array.of(input) })) },
  };
};

function withState(change: (state: OpenedState) => OpenedState): (gate: Gate) => Gate {
  return (gate) => {
    const { opening } = gate;
    const changed = new WeakMap<OpenedState, OpenedState>();
    const weakened = (state: OpenedState): OpenedState => {
      const found = changed.get(state) ?? change(state);
      changed.set(state, found);
      return found;
    };
    return {
      ...gate,
      opening: {
        ...opening,
        current() {
          const state = opening.current();
          return state === undefined ? undefined : weakened(state);
        },
        demand: async (signal) => weakened(await opening.demand(signal)),
      },
    };
  };
}

/** The entry that was written is said to be there, whoever wrote before. */
function overwriting(anchor: Anchor): Anchor {
  return {
    ...anchor,
    async claim(name, k, entry, signal) {
      await anchor.claim(name, k, entry, signal);
      return entry;
    },
  };
}

/** What stands in versions is remembered by each start of the enclave for itself. */
function forgettingVersions(anchor: Anchor): Anchor {
  const versions = new Map<string, Uint8Array>();
  const isState = (name: string): boolean => /^versions\/[0-9a-f]+\/(function|contribution)\./.test(name);
  return {
    ...anchor,
    claim: (name, k, entry, signal) => {
      if (!isState(name)) return anchor.claim(name, k, entry, signal);
      const there = versions.get(`${name}/${k}`) ?? entry;
      versions.set(`${name}/${k}`, there);
      return Promise.resolve(there);
    },
    holder: (name, k, signal) =>
      isState(name) ? Promise.resolve(versions.get(`${name}/${k}`)) : anchor.holder(name, k, signal),
  };
}

function newestFirst(s3: S3): S3 {
  return {
    ...s3,
    async versions(key, signal) {
      const all = await s3.versions(key, signal);
      const objects = all.filter(({ kind }) => kind === 'object');
      return [...objects.toReversed(), ...all.filter(({ kind }) => kind !== 'object')];
    },
  };
}

function releasingAtOnce(tickets: TicketBook): TicketBook {
  return {
    ...tickets,
    async take(request, signal) {
      const ticket = await tickets.take(request, signal);
      if (ticket.outcome !== 'granted') return ticket;
      return { ...ticket, settled: Promise.resolve({ outcome: 'held', k: ticket.k }) };
    },
  };
}

/** After such an outcome, as if the ticket were somebody else's: the next one. */
const takingTheNext =
  (after: TicketRefused['code']) =>
  (tickets: TicketBook): TicketBook => ({
    ...tickets,
    async take(request, signal) {
      for (let attempt = 0; ; attempt += 1) {
        const requestId =
          attempt === 0
            ? request.requestId
            : new Uint8Array(createHash('sha256').update(request.requestId).update(String(attempt)).digest());
        const ticket = await tickets.take({ ...request, requestId }, signal);
        const end = ticket.outcome === 'granted' ? await ticket.settled : ticket;
        if (end.outcome !== 'refused' || end.code !== after || attempt === 3) return ticket;
      }
    },
  });

/** The answer leaves with what the record was before, while the new version is still on its way. */
function answeringFirst(records: Records): Records {
  return {
    ...records,
    async update(name, change, signal) {
      const current = await records.read(name, signal);
      const { next, result } = await change(current?.bytes);
      if (next !== undefined) records.update(name, change, signal).catch(() => {});
      return result;
    },
  };
}

export const WEAKENINGS: readonly Weakening[] = [
  {
    name: 'no-anchors',
    text: 'spent calls are written down in memory alone (`anchors: none`)',
    policy: (policy) => ({ ...policy, anchors: 'none', state: 'none' }),
  },
  {
    name: 'no-conditional-write',
    text: 'an entry is written whether or not another stands there',
    plan: withCopies,
    anchor: overwriting,
  },
  {
    name: 'release-before-quorum',
    text: 'answers leave once one anchor holds the ticket',
    plan: withAccomplice,
    gate: withState((state) => ({ ...state, tickets: releasingAtOnce(state.tickets) })),
  },
  {
    name: 'quorum-of-one',
    text: 'one anchor is enough, however many there are',
    plan: withCopies,
    policy: (policy) => (policy.anchors === 'none' ? policy : { ...policy, anchors: { ...policy.anchors, quorum: 1 } }),
  },
  {
    name: 'restore-without-version',
    text: 'after a restart nobody asks the anchors which version of the state is the newest',
    anchor: forgettingVersions,
  },
  {
    name: 'answer-before-version',
    text: "an answer leaves before the state's next version is claimed",
    plan: withCopies,
    gate: withState((state) => ({ ...state, records: answeringFirst(state.records) })),
  },
  {
    name: 'no-read-back',
    text: 'after an ambiguous outcome the next ticket is taken',
    plan: withOutages,
    gate: withState((state) => ({ ...state, tickets: takingTheNext('unavailable')(state.tickets) })),
  },
  {
    name: 'next-after-conflict',
    text: 'where anchors show different tickets the next one is taken',
    plan: withAccompliceLater,
    gate: withState((state) => ({ ...state, tickets: takingTheNext('anchor-tampered')(state.tickets) })),
  },
  {
    name: 'newest-version-holds',
    text: "of an object's versions the newest counts, not the oldest",
    plan: withMarkers,
    s3: newestFirst,
  },
  {
    name: 'entries-without-key',
    text: 'entries are taken for genuine whoever wrote them',
    plan: (plan) => ({ ...plan, blows: { ...plan.blows, foreign: plan.stormMs / 20 } }),
    keylessEntries: true,
  },
  {
    name: 'lease-ignored',
    text: 'a key that was withdrawn still opens to the enclave',
    plan: (plan) => ({ ...plan, seal: 'layered', withdrawal: plan.withdrawal ?? plan.parties[0] }),
    lenientKms: true,
  },
];
