/** Who is in the story, what they own, and what each of them does at a command line. */
import { join } from 'node:path';
import type { RefusalCode } from '../../enclave/protocol/refusal.ts';
import { EXIT_CODES } from '../../policies/failure.ts';
import type { Io } from '../../parties/cli/verb.ts';
import { jsonFields } from '../../parties/json-fields.ts';
import type { Fields } from '../../parties/json-fields.ts';
import { HOME_REGION, WELL_KNOWN, keyArn } from '../local/accounts.ts';
import type { Measurements } from '../hosts/host.ts';
import type { Outcome, Stage } from './stage.ts';
import type { DemoCode, Story } from './story.ts';

export type Person = 'alice' | 'bob' | 'charlie';

/** A call as the relay saw it: ciphertext in, ciphertext out. */
export interface ObservedCall {
  /** Milliseconds since 1970, by the host's clock. */
  readonly openedAt: number;
  /** From the last frame of the request to the answer, in milliseconds. */
  readonly tookMs: number;
  /** All frames of the request together. */
  readonly requestBytes: number;
  readonly answerBytes: number;
}

/** What the relay wrote down of an agreement's enclaves, while they ran. */
export interface Observed {
  readonly sessions: number;
  /** `host:port`, each once. */
  readonly outbound: readonly string[];
  readonly calls: readonly ObservedCall[];
}

/** What a person at the command line knows of a call. */
export interface Made {
  readonly what: 'answered' | 'refused over quota' | 'refused for being late';
  /** Milliseconds since 1970: when the verb began, and when it ended. */
  readonly from: number;
  readonly to: number;
}

export interface Scene {
  readonly stage: Stage;
  readonly story: Story;
  readonly io: Io;
  /** What the host saw of enclaves that have ended since. */
  readonly seen: Observed[];
  /** Every call of the story, as it ended. */
  readonly made: Made[];
}

/** One agreement of the story. */
export interface Play {
  /** Folder with `policy.yaml`, `model.onnx`, `manifest.json` and `inputs/`. */
  readonly example: string;
  /** The files that its policy is composed of, as options of a verb. */
  readonly policy: readonly string[];
  /** Id of the collaboration at the orchestrator. */
  readonly id: string;
  readonly policyDigest: string;
  readonly measurements: Measurements;
  /** `measurements.json` that a party computed itself. */
  readonly measurementsFile: string;
}

export const exampleFolder = (name: string): string =>
  join(import.meta.dirname, '..', '..', 'policies', 'examples', name);

export const inputOf = ({ example }: Play, name: string): string => join(example, 'inputs', `${name}.jpg`);

export function keyOf(person: Person): string {
  const { account, keyId } = WELL_KNOWN[person] ?? {};
  if (account === undefined || keyId === undefined) throw new RangeError(`${person} has no key`);
  return keyArn(HOME_REGION, account, keyId);
}

/** The home of a person in one collaboration. */
export const homeOf = ({ stage }: Scene, person: Person, play: Play): string =>
  join(stage.folder, person, play.id, 'home');

export type Json = Readonly<Record<string, unknown>>;

/** What a verb printed, field by field; the demo fails where something is not there. */
export function fieldsOf(printed: unknown): Fields {
  const code: DemoCode = 'demo/verb-failed';
  return jsonFields(printed, code, 'what was printed');
}

export function measurementsOf(result: Json): Measurements {
  const fields = fieldsOf(result);
  return { PCR0: fields.text('PCR0'), PCR1: fields.text('PCR1'), PCR2: fields.text('PCR2') };
}

export async function makeHome(scene: Scene, person: Person, play: Play): Promise<void> {
  const { stage } = scene;
  const pinned = ['--key', keyOf(person), '--measurements', play.measurementsFile];
  const place = ['--orchestrator', stage.orchestratorUrl, '--collaboration', play.id];
  const mine = ['--party', person, '--profile', person, '--home', homeOf(scene, person, play)];
  await stage.must(['init', ...mine, ...place, ...pinned]);
}

export async function applyKeyPolicy(scene: Scene, person: Person, play: Play, options: string[] = []): Promise<void> {
  const pinned = ['--key', keyOf(person), '--measurements', play.measurementsFile];
  await scene.stage.must(['key-policy', ...pinned, '--profile', person, '--apply', ...options]);
}

export function contribute(scene: Scene, person: Person, play: Play): Promise<Json> {
  const files = ['--model', join(play.example, 'model.onnx'), '--manifest', join(play.example, 'manifest.json')];
  return scene.stage.must(['contribute', 'classify', ...files, '--home', homeOf(scene, person, play)]);
}

export interface Called extends Outcome {
  /** The answer's JSON, or the refusal's. */
  readonly answer: string;
  /** What to give to `--retry`. */
  readonly callId: string;
}

export async function call(
  scene: Scene,
  person: Person,
  play: Play,
  picture: string,
  options: string[] = [],
): Promise<Called> {
  const argv = ['call', 'classify', '--input', inputOf(play, picture), '--home', homeOf(scene, person, play)];
  let outcome = await calledOnce(scene, [...argv, ...options]);
  for (let again = 1; again < CALL_ATTEMPTS && outcome.result['refused'] === LATE; again += 1) {
    scene.story.fact(`${person}'s call was not computed in time on this busy machine: the same again, which is free.`);
    // Without --new: the call that has no answer yet.
    outcome = await calledOnce(scene, [...argv, ...options.filter((option) => option !== '--new')]);
  }
  const callId = /--retry ([0-9a-f]+)/.exec(outcome.stderr)?.[1] ?? '';
  return { ...outcome, answer: JSON.stringify(outcome.result), callId };
}

const CALL_ATTEMPTS = 6;
const LATE = 'compute-timeout' satisfies RefusalCode;
const OVER_QUOTA = 'quota-exceeded' satisfies RefusalCode;

async function calledOnce({ stage, made }: Scene, argv: readonly string[]): Promise<Outcome> {
  const from = Date.now();
  const outcome = await stage.run(argv);
  const { refused } = outcome.result;
  const times = { from, to: Date.now() };
  if (outcome.exitCode === 0) made.push({ what: 'answered', ...times });
  else if (refused === OVER_QUOTA) made.push({ what: 'refused over quota', ...times });
  else if (refused === LATE) made.push({ what: 'refused for being late', ...times });
  return outcome;
}

/** `melanoma (0.98)`. */
export function inWords({ result, exitCode, answer }: Called): string {
  const labels = result['labels'];
  const [first]: unknown[] = Array.isArray(labels) ? labels : [];
  if (exitCode !== 0 || typeof first !== 'object' || first === null) return answer;
  const { label, score } = { label: '', score: 0, ...first };
  return `${label} (score ${score})`;
}

export async function callsLeft(scene: Scene, person: Person, play: Play): Promise<number> {
  const status = await scene.stage.must(['quota', '--home', homeOf(scene, person, play)]);
  return fieldsOf(status).fields('functions').fields('classify').fields('calls').count('left');
}

/** As a person reads the anchors, with an own profile, and nobody between. */
export async function readLeft(scene: Scene, person: Person, play: Play): Promise<{ left: number; shown: string }> {
  const printed = await scene.stage.must(['quota', '--no-enclave', '--home', homeOf(scene, person, play)]);
  const read = fieldsOf(printed).fields('read');
  const own = read.list('calls').find((one) => one.text('party') === person);
  if (own === undefined) throw new RangeError(`the anchors say nothing of ${person}'s calls`);
  const anchors = read.list('anchors').map((one) => `${one.text('place')} holds ${one.count('tickets')} tickets`);
  return {
    left: own.count('left'),
    shown: `${own.count('left')} of ${own.count('quota')} left; ${anchors.join(', ')}`,
  };
}

/** Starts so many enclaves of it as are missing (accord run). */
export async function start({ stage }: Scene, { policy }: Play, copies = 1): Promise<void> {
  const place = ['--orchestrator', stage.orchestratorUrl, '--copies', String(copies)];
  await stage.must(['run', ...policy, ...place]);
}

const CONNECT_ATTEMPTS = 4;

/**
 * Bob and Alice connect: an enclave that was started anew opens its state only with both. Gives what it then tells Alice.
 */
export async function connect(scene: Scene, play: Play, copy = 1): Promise<Fields> {
  scene.story.doing('both parties connect (accord quota)');
  const quota = async (person: Person): Promise<Json> => {
    const verb = ['quota', '--copy', String(copy), '--home', homeOf(scene, person, play)];
    // A machine that is emulated may still be busy with its start: as the verb says then, the same once more.
    for (let attempt = 1; attempt < CONNECT_ATTEMPTS; attempt += 1) {
      const { exitCode, result } = await scene.stage.run(verb);
      if (exitCode === 0) return result;
      if (exitCode !== EXIT_CODES.environment) break;
    }
    return scene.stage.must(verb);
  };
  await quota('bob');
  return fieldsOf(await quota('alice'));
}
