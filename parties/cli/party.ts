/** What a verb needs to act for a party: the home, the orchestrator, and a session with the enclave that it pins. */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { EXIT_CODES, Failure } from '../../policies/failure.ts';
import type { FunctionPolicy } from '../../policies/model.ts';
import { functionNamed } from '../../policies/quota.ts';
import { createCoordinator } from '../coordinator/client.ts';
import type { Coordinator } from '../coordinator/client.ts';
import { openChosenHome } from '../home.ts';
import type { Home } from '../home.ts';
import { createKms, createSts } from '../kms/client.ts';
import type { AwsSettings } from '../kms/client.ts';
import { challengeEncryption, enclaveCredentials } from '../session/aws.ts';
import { pinnedExpectation } from '../session/expectation.ts';
import { Refused } from '../session/refusal.ts';
import { openSession } from '../session/session.ts';
import type { Session } from '../session/session.ts';
import { readNumber } from './arguments.ts';
import type { Progress } from './progress.ts';
import type { Io } from './verb.ts';

export interface PartyChoice {
  readonly home?: string | undefined;
  readonly party?: string | undefined;
  readonly profile?: string | undefined;
  /** Number of the enclave to speak to, where several run; undefined for any. */
  readonly copy?: number | undefined;
}

export interface PartyContext {
  readonly home: Home;
  readonly coordinator: Coordinator;
  readonly aws: AwsSettings;
  /** Number of the enclave to speak to; undefined for any. */
  readonly copy: number | undefined;
}

export async function partyContext(choice: PartyChoice, io: Io): Promise<PartyContext> {
  const home = await openChosenHome(choice, io.env, io.cwd);
  const { orchestrator, keyArn, profile } = home.config;
  const { region } = parseKmsKeyArn(keyArn);
  return {
    home,
    coordinator: createCoordinator(orchestrator),
    aws: { profile: choice.profile ?? profile, region, env: io.env },
    copy: choice.copy,
  };
}

/** Whoever runs the host numbers its enclaves; it knows how many there are. */
const MOST_COPY = 99;

/** `--copy N` of this verb, from 1; undefined where it was left out. */
export function readCopy(verb: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : readNumber(verb, 'copy', text, MOST_COPY, 1);
}

/** WebCrypto's generator; the parties' machines have one that can be relied on. */
export const systemRandom: RandomSource = (bytes) => crypto.getRandomValues(new Uint8Array(bytes));

/**
 * What to think of an enclave in debug mode, which proves nothing about what runs: refuse it, speak to it all the same, or
 * speak to no other, since what will be sent is test data.
 */
export type DebugMode = 'refused' | 'allowed' | 'demanded';

export type PartyCode = 'session/not-debug';

/** Connects, verifies, authenticates. Close what it gives. `price`: what the command could spend. */
export async function startSession(
  context: PartyContext,
  io: Io,
  progress: Progress,
  debug: DebugMode = 'refused',
  price: 'call' | 'nothing' = 'nothing',
): Promise<Session> {
  const session = await verifiedSession(context, io, progress, debug !== 'refused', price);
  const { debug: found } = session.attestation;
  if (debug === 'demanded' && !found) {
    await session.close();
    throw new Failure<PartyCode>('refused', 'session/not-debug', 'the enclave does not run in debug mode', {
      hint: 'it takes no test data: leave --test-data out, or start the enclave in debug mode; nothing was sent',
    });
  }
  if (found) io.err(`${io.interactive ? '\r\u001B[K' : ''}${DEBUG_WARNING}`);
  return session;
}

const DEBUG_WARNING =
  'the enclave runs in debug mode: its host can look inside, and nothing proves which image it is. Test data only.\n';

async function verifiedSession(
  context: PartyContext,
  io: Io,
  progress: Progress,
  allowDebug: boolean,
  price: 'call' | 'nothing',
): Promise<Session> {
  const { home, coordinator, aws, copy } = context;
  const { party, keyArn, enclaveRoleArn, collaboration } = home.config;
  const kms = createKms(aws);
  const sts = createSts(aws);
  try {
    progress.update('connecting to the enclave');
    const channel = await coordinator.connect(collaboration, io.signal, copy);
    progress.update('verifying the enclave');
    return await openSession({
      channel,
      party,
      keyArn,
      policyDigest: home.pins.policyDigest,
      expectation: pinnedExpectation(home, allowDebug),
      encryptChallenge: challengeEncryption(kms, keyArn),
      credentials: enclaveCredentials(sts, {
        roleArn: enclaveRoleArn,
        keyArn,
        sessionName: `accord-${party}`.slice(0, 64),
      }),
      random: systemRandom,
      now: () => new Date(),
      circumstances: { price, copy },
      signal: io.signal,
      onProgress: (step) => progress.update(step),
    });
  } finally {
    // One KMS request opens a session; nothing in it needs another.
    kms.destroy();
    sts.destroy();
  }
}

/** The function as the pinned policy has it. `price`: what the command could spend. */
export function functionOf({ home }: PartyContext, name: string, price: 'call' | 'nothing'): FunctionPolicy {
  const found = functionNamed(home.policy.functions, name);
  if (found !== undefined) return found;
  const known = Object.keys(home.policy.functions).join(', ');
  throw new Refused({ refused: 'unknown-function', detail: `it has ${known}` }, { by: 'here', price });
}

/** With `--json` a refusal is a result of its own shape; without, it is told like every other failure. */
export async function tellingRefusals(json: boolean, io: Io, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!json || !(error instanceof Refused)) throw error;
    const { refused, detail } = error.refusal;
    io.out(`${JSON.stringify({ refused, ...(detail === undefined ? {} : { detail }) })}\n`);
    return EXIT_CODES[error.kind];
  }
}
