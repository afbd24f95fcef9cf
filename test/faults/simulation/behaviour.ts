/** What parties do in a run: they attend, hand over models, and ask for their answers until they have them. */
import { modelPackage } from './computer.ts';
import { sealModel } from './contribution.ts';
import type { Fleet } from './fleet.ts';
import { keyArnOf } from './agreement.ts';
import { attempt, openPartySession } from './party.ts';
import type { PartySession, PartyWorld } from './party.ts';
import type { Name, Plan, PlannedCall } from './plan.ts';
import { MODEL } from './plan.ts';
import type { Outcome, Wanted } from '../history.ts';
import { createHash } from 'node:crypto';

export interface Behaviour {
  /** Everything that was wanted is answered or finally refused, and was asked for again once more. */
  readonly isDone: () => boolean;
  /** Nobody asks any more, and who attends does so every few minutes … */
  rest(): void;
  /** … but for everything that was answered, once more, at this moment of virtual time. */
  askAfter(at: number): void;
}

/** Refusals that end the asking: no repetition has another outcome. */
const FINAL: ReadonlySet<string> = new Set([
  'quota-exceeded',
  'request-reused',
  'changed',
  'not-permitted',
  'input-invalid',
  'output-invalid',
  'input-too-large',
]);

/** In which the parties are. */
interface Mood {
  resting: boolean;
}

/** Oftener than a lease ends. */
const RESTING_MS = 600_000;

export function behave(world: PartyWorld, plan: Plan, fleet: Fleet): Behaviour {
  let pending = 0;
  const mood: Mood = { resting: false };
  const doing = (work: Promise<void>): void => {
    pending += 1;
    work.then(
      () => (pending -= 1),
      (error: unknown) =>
        world.history.faults.push(`a party: ${error instanceof Error ? (error.stack ?? '') : String(error)}`),
    );
  };
  for (const party of plan.parties) {
    const own: PartyWorld = { ...world, random: world.random.fork(party) };
    // With a role of its host's, nothing waits for a party.
    if (!plan.hostRole) void attend(own, party, fleet, mood);
    const turn = takeTurns();
    for (const call of plan.calls[party] ?? []) doing(pursue(own, party, call, turn, mood));
  }
  if (plan.modelOwner !== undefined) doing(contribute(world, plan, plan.modelOwner, fleet, mood));
  return {
    isDone: () => pending === 0,
    rest: () => void (mood.resting = true),
    askAfter(at) {
      const answered = world.history.attempts.flatMap(({ wanted, outcome }) => ('answer' in outcome ? [wanted] : []));
      for (const wanted of new Set(answered)) doing(askOnce(world, wanted, at));
    },
  };
}

/** A party has one call in flight on each session; a few sessions at once are its right. */
type Turn = <T>(work: () => Promise<T>) => Promise<T>;

function takeTurns(): Turn {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
  };
}

/** Keeps a session with every copy, for what needs this party's key there. Never ends. */
async function attend(world: PartyWorld, party: Name, fleet: Fleet, mood: Mood): Promise<void> {
  const { simulation, random } = world;
  const sessions = new Map<string, PartySession>();
  for (let round = 1; ; round += 1) {
    for (const { name } of fleet.running.slice()) {
      const session = sessions.get(name);
      // A line that nobody says is cut is found out by asking.
      if (session?.alive === true && (round % 10 !== 0 || (await session.ask({ t: 'status' })) !== undefined)) continue;
      const opened = await openPartySession(world, { name: party, keyArn: keyArnOf(party) }, name);
      if (opened === undefined) sessions.delete(name);
      else sessions.set(name, opened);
    }
    await simulation.sleep(mood.resting ? RESTING_MS : 500 + 3_000 * random.next());
  }
}

/** Hands over one model after the other, each until an enclave has it. */
async function contribute(world: PartyWorld, plan: Plan, party: Name, fleet: Fleet, mood: Mood): Promise<void> {
  const { simulation, random, history, kms, policyDigest } = world;
  const hand = async (number: number): Promise<void> => {
    const plaintext = modelPackage(number);
    const model = createHash('sha256').update(plaintext).digest('hex');
    const { blob, sha256 } = await sealModel({ kms, random, party, policyDigest }, MODEL, plaintext);
    fleet.contributions.set(MODEL, blob);
    while (!mood.resting) {
      const session = await openPartySession(world, { name: party, keyArn: keyArnOf(party) });
      if (session !== undefined) {
        const startedAt = simulation.now();
        const request = {
          t: 'contribute',
          function: MODEL,
          envelopeSha256: sha256,
          bytes: blob.length,
          testData: false,
        } as const;
        const reply = await session.ask(request);
        const done = reply?.t === 'contributed';
        simulation.trace(
          () => `${party} contributes model ${number}: ${reply === undefined ? 'no answer' : JSON.stringify(reply)}`,
        );
        history.contributed.push({
          function: MODEL,
          model,
          startedAt,
          enclave: session.enclave,
          endedAt: done ? simulation.now() : Infinity,
        });
        session.close();
        if (done) return;
      }
      await simulation.sleep(100 + 2_000 * random.next());
    }
  };
  for (let number = 1; number <= plan.models; number += 1) {
    if (number > 1) await simulation.sleep(plan.stormMs * random.next());
    await hand(number);
  }
}

async function askOnce(world: PartyWorld, wanted: Wanted, at: number): Promise<void> {
  await world.simulation.sleep(at - world.simulation.now());
  const session = await openPartySession(world, { name: wanted.party, keyArn: keyArnOf(wanted.party) });
  if (session === undefined) return;
  await attempt(world, session, wanted, Buffer.from(wanted.requestId, 'hex'), Buffer.from(wanted.input, 'hex'));
  session.close();
}

async function pursue(world: PartyWorld, party: Name, call: PlannedCall, turn: Turn, mood: Mood): Promise<void> {
  const { simulation, random, history } = world;
  await simulation.sleep(call.after);
  const requestId = random.bytes(32);
  const wanted = (input: Uint8Array, persistent: boolean): Wanted => {
    const made = {
      party,
      function: call.function,
      requestId: Buffer.from(requestId).toString('hex'),
      input: Buffer.from(input).toString('hex'),
      persistent,
    };
    history.wanted.push(made);
    return made;
  };
  const main = wanted(call.input, true);
  const ask = async (of: Wanted, input: Uint8Array): Promise<Outcome> => {
    const session = await openPartySession(world, { name: party, keyArn: keyArnOf(party) });
    if (session === undefined) return { nothing: 'no session' };
    const outcome = await attempt(world, session, of, requestId, input);
    session.close();
    return outcome;
  };
  const untilEnd = async (of: Wanted, input: Uint8Array, inTurn: Turn): Promise<void> => {
    for (let tries = 0; !mood.resting; tries += 1) {
      const outcome = await inTurn(() => ask(of, input));
      if ('answer' in outcome || ('refused' in outcome && FINAL.has(outcome.refused))) return;
      await simulation.sleep((100 + 900 * random.next()) * Math.min(8, 2 ** tries));
    }
  };
  const others: Promise<void>[] = [];
  if (call.twice) others.push(untilEnd(main, call.input, (work) => work()));
  if (call.reused) {
    const other = Uint8Array.of(...call.input, 7);
    others.push(untilEnd(wanted(other, false), other, turn));
  }
  await untilEnd(main, call.input, turn);
  await Promise.all(others);
  for (let again = 0; again < call.again; again += 1) {
    await simulation.sleep(1_000 * random.next());
    await untilEnd(main, call.input, turn);
  }
}
