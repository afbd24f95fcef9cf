/**
 * A party as its command line behaves: it keeps a request's id and input until it has an answer, asks again after every
 * failure that may pass, on whatever copy of the enclave it is led to, and writes down what it saw.
 */
import { unpadAnswer } from '../../../enclave/protocol/answer.ts';
import type { Answer } from '../../../enclave/protocol/answer.ts';
import { sessionContext } from '../../../enclave/protocol/context.ts';
import { decodeOuter, encodeOuter } from '../../../enclave/protocol/frame.ts';
import type { Request } from '../../../enclave/protocol/request.ts';
import { encodeRequest, inputChunks } from '../../../enclave/protocol/request.ts';
import type { SealedChannel } from '../../../enclave/protocol/session.ts';
import { CHALLENGE_BYTES, EXPORT_LABELS } from '../../../enclave/protocol/session.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import type { History, Outcome, Wanted } from '../history.ts';
import type { Simulation } from './clock.ts';
import { openChannel } from './channel.ts';
import type { SimulatedKms } from './kms.ts';
import type { LineEnd } from './line.ts';
import type { Prng } from './prng.ts';

export interface Route {
  readonly connection: number;
  readonly line: LineEnd;
  /** Which copy of the enclave is at the other end. */
  readonly enclave: string;
}

export interface PartyWorld {
  readonly simulation: Simulation;
  readonly random: Prng;
  readonly history: History;
  readonly kms: SimulatedKms;
  readonly policyDigest: PolicyDigest;
  /** A connection to some copy, as the orchestrator leads it; undefined where none answers. */
  connect(to?: string): Route | undefined;
}

export interface PartyIdentity {
  readonly name: string;
  readonly keyArn: string;
}

export interface PartySession {
  readonly enclave: string;
  /** False once anything went wrong: nothing more comes of it. */
  readonly alive: boolean;
  ask(request: Request, input?: Uint8Array): Promise<Answer | undefined>;
  close(): void;
}

const AUTHENTICATE_MS = 60_000;
const ANSWER_MS = 90_000;
/** The one bucket of the policy. */
const PADDED_BYTES = 4_096;

/** Undefined where no session could be opened. */
export async function openPartySession(
  world: PartyWorld,
  { name, keyArn }: PartyIdentity,
  to?: string,
): Promise<PartySession | undefined> {
  const route = world.connect(to);
  if (route === undefined) return undefined;
  const { line } = route;
  const channel = openChannel(route.connection, 'party');
  const sessionId = world.random.bytes(16);
  const challenge = await channel.export(EXPORT_LABELS.challenge, CHALLENGE_BYTES);
  const context = sessionContext({ policyDigest: world.policyDigest, party: name, sessionId });
  const ciphertext = world.kms.encrypt(keyArn, challenge, context);
  const credentials = { accessKeyId: `ASIA${name}`, secretAccessKey: 'secret', sessionToken: 'token' };
  line.send(await channel.seal(encodeRequest({ t: 'authenticate', keyArn, sessionId, ciphertext, credentials })));
  const first = await hear(world, line, channel, AUTHENTICATE_MS);
  if (first?.t !== 'authenticated') {
    world.simulation.trace(
      () =>
        `${name} has no session with ${route.enclave}: ${first === undefined ? 'no answer' : JSON.stringify(first)}`,
    );
    line.close();
    return undefined;
  }
  let alive = true;
  const session: PartySession = {
    enclave: route.enclave,
    get alive() {
      return alive && !line.isOver;
    },
    async ask(request, input) {
      const send = async (one: Request): Promise<void> =>
        line.send(encodeOuter({ t: 'sealed', ct: await channel.seal(encodeRequest(one)) }));
      await send(request);
      if (input !== undefined) for (const chunk of inputChunks(input, PADDED_BYTES)) await send(chunk);
      const reply = await hear(world, line, channel, request.t === 'contribute' ? 10 * ANSWER_MS : ANSWER_MS);
      if (reply === undefined) session.close();
      return reply;
    },
    close() {
      if (!alive) return;
      alive = false;
      channel.erase();
      line.close();
    },
  };
  return session;
}

/** The next answer; undefined where the line is over, nothing came in time, or it is not of this channel. */
async function hear(
  { simulation }: PartyWorld,
  line: LineEnd,
  channel: SealedChannel,
  milliseconds: number,
): Promise<Answer | undefined> {
  const late = new AbortController();
  const stop = simulation.after(milliseconds, () => late.abort(new Error('too late')));
  try {
    const body = await line.receive(late.signal);
    if (body === undefined) return undefined;
    const message = decodeOuter(body);
    return message.t === 'sealed' ? unpadAnswer(await channel.open(message.ct)) : undefined;
  } catch {
    return undefined;
  } finally {
    stop();
  }
}

/** Asks once, and writes down what came of it. */
export async function attempt(
  world: PartyWorld,
  session: PartySession,
  wanted: Wanted,
  requestId: Uint8Array,
  input: Uint8Array,
): Promise<Outcome> {
  const { simulation, history } = world;
  const startedAt = simulation.now();
  const reply = await session.ask(
    { t: 'call', function: wanted.function, requestId, inputBytes: input.length, paddedBytes: PADDED_BYTES },
    input,
  );
  const outcome = outcomeOf(reply);
  const { enclave } = session;
  history.attempts.push({ wanted, startedAt, endedAt: simulation.now(), outcome, enclave });
  simulation.trace(
    () =>
      `${wanted.party} of ${enclave}, ${wanted.function} ${wanted.requestId.slice(0, 8)}: ${JSON.stringify(outcome)}`,
  );
  return outcome;
}

function outcomeOf(reply: Answer | undefined): Outcome {
  if (reply === undefined) return { nothing: 'the session broke' };
  if (reply.t === 'answer') return { answer: reply.output };
  if (reply.t !== 'refused') return { nothing: `a ${reply.t} answer` };
  return reply.detail === undefined ? { refused: reply.refused } : { refused: reply.refused, detail: reply.detail };
}
