/**
 * A whole collaboration on this machine: AWS in miniature and the orchestrator as processes, and what the parties do at
 * their command lines. The picture classifier of the examples is what is agreed on, unless a test brings another policy.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import sharp from 'sharp';
import { HOME_REGION, WELL_KNOWN, keyArn } from '../../orchestrator/local/accounts.ts';
import { processesOf } from '../../orchestrator/hosts/processes.ts';
import { CLEAN, ROOT, compiled, startAccord } from './processes.ts';
import type { Outcome, Started } from './processes.ts';

export type Person = 'alice' | 'bob' | 'charlie';

export const EXAMPLE: string = join(ROOT, 'policies', 'examples', 'skin-lesion-screening');
export const MODEL: readonly string[] = [
  '--model',
  join(EXAMPLE, 'model.onnx'),
  '--manifest',
  join(EXAMPLE, 'manifest.json'),
];
export const picture = (name: string): string => join(EXAMPLE, 'inputs', `${name}.jpg`);

/** One that takes a tenth of a second to read: long enough to hold whoever does it. Gives its path. */
export async function hardPicture({ folder }: Pick<Seat, 'folder'>): Promise<string> {
  const path = join(folder, 'hard.png');
  await sharp({ create: { width: 4_000, height: 4_000, channels: 3, background: '#a06040' } })
    .png()
    .toFile(path);
  return path;
}

export function keyOf(person: Person): string {
  const { account, keyId } = WELL_KNOWN[person];
  return keyArn(HOME_REGION, account, keyId);
}

export interface Agreement {
  readonly id: string;
  readonly PCR0: string;
  readonly policyDigest: string;
  readonly policyFile: string;
  readonly measurementsFile: string;
}

/** Where people sit who use a collaboration. */
export interface Seat {
  /** Everything is below this folder; a real path. */
  readonly folder: string;
  readonly awsFolder: string;
  readonly dataFolder: string;
  /** Of the orchestrator. */
  readonly url: string;
  start(...argv: readonly string[]): Started;
}

/** AWS in miniature and the orchestrator as processes of their own, which can be killed and started again. */
export interface Place extends Seat {
  aws: Started;
  orchestrator: Started;
  url: string;
  /** On the same folder and port as before. */
  startAws(): Promise<void>;
  startOrchestrator(): Promise<void>;
  close(): Promise<void>;
}

export type Json = Readonly<Record<string, unknown>>;

/** Local AWS and orchestrator run when this resolves. */
export async function openPlace(): Promise<Place> {
  await compiled();
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-flow-')));
  const awsFolder = join(folder, 'aws');
  const dataFolder = join(folder, 'data');
  const started: Started[] = [];
  let env = CLEAN;
  let awsPort = '0';
  let orchestratorPort = '0';
  const start = (...argv: readonly string[]): Started => {
    const one = startAccord({ cwd: folder, env }, ...argv);
    started.push(one);
    return one;
  };
  const startAws = async (): Promise<Started> => {
    const aws = start('local-aws', '--data', awsFolder, '--port', awsPort, '--json');
    const { url, environment } = parsed(await aws.firstLine);
    awsPort = new URL(String(url)).port;
    env = { ...CLEAN, ...Object.fromEntries(Object.entries(Object(environment)).map(([n, v]) => [n, String(v)])) };
    return aws;
  };
  const startOrchestrator = async (): Promise<readonly [Started, string]> => {
    const folders = ['--data', dataFolder, '--run-dir', join(dataFolder, 'run'), '--local-aws', awsFolder];
    const up = start('up', ...folders, '--port', orchestratorPort, '--json');
    const url = String(parsed(await up.firstLine)['url']);
    orchestratorPort = new URL(url).port;
    return [up, url];
  };
  const close = async (): Promise<void> => {
    // The orchestrator first, and gently: it ends its enclaves.
    for (const { child } of started.toReversed()) {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
    }
    const late = setTimeout(() => {
      for (const { child } of started) child.kill('SIGKILL');
    }, 10_000);
    await Promise.all(started.map(({ outcome }) => outcome));
    clearTimeout(late);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await mkdir(awsFolder);
    const aws = await startAws();
    const [orchestrator, url] = await startOrchestrator();
    const place: Place = {
      folder,
      awsFolder,
      dataFolder,
      aws,
      orchestrator,
      url,
      start,
      async startAws() {
        place.aws = await startAws();
      },
      async startOrchestrator() {
        [place.orchestrator, place.url] = await startOrchestrator();
      },
      close,
    };
    return place;
  } catch (error) {
    await close();
    throw error;
  }
}

export const trustOf = ({ awsFolder }: Seat): readonly string[] => ['--trust', join(awsFolder, 'trust.json')];

/** Runs a verb to its end. */
export const accord = (seat: Seat, ...argv: readonly string[]): Promise<Outcome> => seat.start(...argv).outcome;

/** What a verb that must succeed printed with `--json`. */
export async function must(seat: Seat, ...argv: readonly string[]): Promise<Json> {
  const { code, out, err } = await accord(seat, ...argv, '--json');
  if (code !== 0) throw new Error(`accord ${argv.join(' ')} ended with ${String(code)}: ${out}${err}`);
  return parsed(out);
}

export function parsed(text: string): Json {
  const value: unknown = JSON.parse(text);
  return Object(value);
}

/** With the example's policy: buckets of Alice and Bob, and state that both of their keys open. */
export const ANCHORS: string = join(EXAMPLE, 'anchors.yaml');

/** A copy whose answers leave when they are ready: what is tried here must not fail because a machine is busy. */
async function inNoHurry({ folder }: Seat, policyFile: string): Promise<string> {
  const text = (await readFile(policyFile, 'utf8')).replaceAll(/^( +)afterMs: \d+$/gm, '$1afterMs: 0');
  const copy = join(folder, `${createHash('sha256').update(text).digest('hex').slice(0, 16)}.yaml`);
  await writeFile(copy, text);
  return copy;
}

/** The coordinator's part: the enclave of the policy runs when this resolves. `parts` are composed in. */
export async function agree(
  seat: Seat,
  original: string = join(EXAMPLE, 'policy.yaml'),
  ...parts: readonly string[]
): Promise<Agreement> {
  const policyFile = await inNoHurry(seat, original);
  const ran = await must(seat, 'run', policyFile, ...parts, ...trustOf(seat), '--orchestrator', seat.url);
  const id = String(ran['id']);
  const { PCR0, PCR1, PCR2 } = Object(ran['measurements']);
  const policyDigest = String(ran['policyDigest']);
  const measurementsFile = join(seat.folder, `${id}.json`);
  await writeFile(measurementsFile, JSON.stringify({ PCR0, PCR1, PCR2, policyDigest }));
  return { id, PCR0: String(PCR0), policyDigest, policyFile, measurementsFile };
}

export const homeOf = (seat: Seat, person: Person): string => join(seat.folder, `home-${person}`);
export const at = (seat: Seat, person: Person): readonly string[] => ['--home', homeOf(seat, person)];

/** The key opens to the agreed image, and the home pins it. */
export async function takePart(seat: Seat, agreement: Agreement, ...people: readonly Person[]): Promise<void> {
  for (const person of people) {
    await pin(seat, agreement, person);
    await makeHome(seat, agreement, person);
  }
}

export function pin(seat: Seat, agreement: Agreement, person: Person, ...more: readonly string[]): Promise<Json> {
  const pinned = ['--key', keyOf(person), '--measurements', agreement.measurementsFile];
  return must(seat, 'key-policy', ...pinned, '--profile', person, '--apply', ...more);
}

export function makeHome(seat: Seat, { id, measurementsFile }: Agreement, person: Person): Promise<Json> {
  const where = ['--orchestrator', seat.url, '--collaboration', id, '--measurements', measurementsFile];
  const who = ['--party', person, '--key', keyOf(person), '--profile', person, ...at(seat, person)];
  return must(seat, 'init', ...who, ...where, '--repin');
}

/** Alice and Bob make their anchors, hand over the credentials, and connect. */
export async function anchor(seat: Seat): Promise<void> {
  for (const person of ['alice', 'bob'] as const) {
    const other = person === 'alice' ? 'bob' : 'alice';
    const reader = `arn:aws:iam::${WELL_KNOWN[other].account}:user/${other}`;
    await must(seat, 'anchor', 'make', ...at(seat, person), '--reader', reader);
    await must(seat, 'anchor', 'contribute', ...at(seat, person));
  }
  await connect(seat);
}

/** Bob and Alice ask an enclave how it is, which lends it what it needs to open its state. Gives what it tells Alice. */
export async function connect(seat: Seat, copy = 1): Promise<Json> {
  await must(seat, 'quota', ...at(seat, 'bob'), '--copy', String(copy));
  return must(seat, 'quota', ...at(seat, 'alice'), '--copy', String(copy));
}

/** As a person reads the anchors, without enclave and host. */
export async function readLeft(seat: Seat, person: Person): Promise<unknown> {
  const { read } = await must(seat, 'quota', '--no-enclave', ...at(seat, person));
  const calls: unknown = Object(read).calls;
  const own: unknown = Array.isArray(calls) ? calls.find((one) => Object(one).party === person) : undefined;
  return Object(own).left;
}

export function contribute(seat: Seat, functionName = 'classify', model: readonly string[] = MODEL): Promise<Json> {
  return must(seat, 'contribute', functionName, ...model, ...at(seat, 'bob'));
}

/** `accord call classify` of a person's picture, by the name of an example's or by its path. */
export const callOf = (seat: Seat, person: Person, name: string): readonly string[] => [
  'call',
  'classify',
  '--input',
  isAbsolute(name) ? name : picture(name),
  ...at(seat, person),
];

export async function callsLeft(seat: Seat, person: Person): Promise<unknown> {
  const { functions } = await must(seat, 'quota', ...at(seat, person));
  return Object(Object(functions).classify).calls?.left;
}

/** The enclave's own processes whose command line names one of its programs: `gate.mjs`, `decode.mjs`, `compute.mjs`. */
export async function enclaveProcesses(seat: Seat, program: string): Promise<readonly number[]> {
  const pids = await processesOf(seat.dataFolder);
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, index) => lines[index]?.includes(program) === true);
}

/**
 * Stops processes again and again, as soon as they are woken: their gate wakes them for a call. Ends with them, and with
 * whoever started it.
 */
const HOLDER = `
const [parent, ...pids] = process.argv.slice(1).map(Number);
const clock = new Int32Array(new SharedArrayBuffer(4));
const stop = (pid) => {
  try {
    return process.kill(pid, 'SIGSTOP');
  } catch {
    return false;
  }
};
pids.forEach(stop);
process.stdout.write('held');
while (process.ppid === parent && pids.filter(stop).length > 0) Atomics.wait(clock, 0, 0, 0.2);
`;

/** The processes that decode and compute, once all of them wait for calls, and no other one is started any more. */
async function restingJails(seat: Seat): Promise<readonly number[]> {
  const isResting = async (pid: number): Promise<boolean> =>
    /^State:\s+T/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''));
  let before = '';
  for (let [since, began] = [Date.now(), Date.now()]; Date.now() - began < 60_000;) {
    const pids = [...(await enclaveProcesses(seat, 'decode.mjs')), ...(await enclaveProcesses(seat, 'compute.mjs'))];
    const all = (await Promise.all(pids.map(isResting))).every(Boolean);
    if (!all || pids.length === 0 || pids.join() !== before) since = Date.now();
    before = pids.join();
    if (Date.now() - since > 1_500) return pids;
    await new Promise((resolve) => void setTimeout(resolve, 50));
  }
  throw new Error('no jails wait for calls');
}

/** Holds every computation of the enclave, of a hard picture, until the result is called. */
export async function holdComputing(seat: Seat): Promise<() => void> {
  const pids = await restingJails(seat);
  const words = [process.pid, ...pids].map(String);
  const holder = spawn(process.execPath, ['-e', HOLDER, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  return () => {
    holder.once('exit', () => {
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGCONT');
        } catch {
          // gone, with its gate
        }
      }
    });
    holder.kill('SIGKILL');
  };
}
