/**
 * A collaboration for real, from the party's seal to the opened answer: the local AWS and an orchestrator in this
 * process, the enclave as the local host starts it (the unpacked image, gate and jails as processes of their own), and
 * the parties' own code at the other end of a WebSocket.
 */
import { PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import { readFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ENCLAVE_ROLE, HOME_REGION } from '../../orchestrator/local/accounts.ts';
import { startLocalAws } from '../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../orchestrator/local/aws.ts';
import { startOrchestrator } from '../../orchestrator/main.ts';
import { processesOf } from '../../orchestrator/hosts/processes.ts';
import { localRoot } from '../../parties/attestation/verify.ts';
import { contributeModel, prepareModel } from '../../parties/contribute/contribute.ts';
import { createCoordinator } from '../../parties/coordinator/client.ts';
import type { CollaborationView, Coordinator } from '../../parties/coordinator/client.ts';
import type { Home } from '../../parties/home.ts';
import { createKms, createSts } from '../../parties/kms/client.ts';
import { kmsDataKeys } from '../../parties/kms/data-keys.ts';
import { keyPolicy, keyPolicyText } from '../../parties/kms/key-policy.ts';
import { challengeEncryption, enclaveCredentials } from '../../parties/session/aws.ts';
import { pinnedExpectation } from '../../parties/session/expectation.ts';
import { openSession } from '../../parties/session/session.ts';
import type { Session } from '../../parties/session/session.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { policyDigest } from '../../policies/digest.ts';
import { FUNCTION, KEY_ARNS, policyOf } from './samples.ts';
import type { Subject } from './samples.ts';

type Party = keyof typeof KEY_ARNS;

/** Process ids of a running enclave. */
export interface EnclaveProcesses {
  readonly gate: number;
  readonly decode: number;
  readonly compute: number;
}

export interface Collaboration {
  openSession(party: Party): Promise<Session>;
  processes(): Promise<EnclaveProcesses>;
  /** Resolves when the enclave has nothing to do: the spares of its jails are warm. */
  settled(): Promise<void>;
  /** Resolves when nothing of the enclave runs any more. */
  stop(): Promise<void>;
}

export interface WholePath {
  readonly aws: LocalAws;
  /** Built, pinned in both keys' policies, launched, Bob's model contributed. */
  collaborate(subject: Subject): Promise<Collaboration>;
  close(): Promise<void>;
}

const MANY_CALLS = 1_000_000;
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

export async function startWholePath(): Promise<WholePath> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-bench-')));
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const aws = await startLocalAws({ dataDir: join(folder, 'aws') });
    undo.push(() => aws.close());
    const runFolder = join(folder, 'run');
    const orchestrator = await startOrchestrator({
      dataFolder: join(folder, 'data'),
      localAwsFolder: aws.dataDir,
      port: 0,
      address: '127.0.0.1',
      runFolder,
      now: () => new Date(),
      log: () => {},
    });
    undo.push(() => orchestrator.close());
    return {
      aws,
      close,
      collaborate: (subject) => collaborate({ aws, url: orchestrator.url, folder, runFolder }, subject),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Place {
  readonly aws: LocalAws;
  readonly url: string;
  readonly folder: string;
  readonly runFolder: string;
}

async function collaborate(place: Place, subject: Subject): Promise<Collaboration> {
  const { aws, url } = place;
  const coordinator = createCoordinator(url);
  const view = await built(place, coordinator, policyOf(subject.uses, MANY_CALLS, aws.trust));
  const bob = await homeOf(place, 'bob', view);
  for (const party of ['alice', 'bob'] as const) await pin(place, party, bob);
  await post(`${url}/v1/collaborations/${view.id}/launch`);
  const open = async (party: Party): Promise<Session> => session(place, coordinator, await homeOf(place, party, view));

  const kms = createKms(settings(place, 'bob'));
  try {
    const policy = bob.policy.functions[FUNCTION];
    if (policy === undefined) throw new Error(`the policy has no function ${FUNCTION}`);
    await contributeModel({
      home: bob,
      functionName: FUNCTION,
      ...prepareModel(subject.manifest, subject.onnx, policy),
      coordinator,
      dataKeys: kmsDataKeys(kms),
      openSession: () => open('bob'),
      random,
      onProgress: () => {},
    });
  } finally {
    kms.destroy();
  }
  return {
    openSession: open,
    processes: () => enclaveProcesses(place.runFolder),
    settled: () => settled(place.runFolder),
    stop: async () => void (await post(`${url}/v1/collaborations/${view.id}/terminate`)),
  };
}

const settings = ({ aws }: Place, profile: Party): Parameters<typeof createKms>[0] => ({
  profile,
  region: HOME_REGION,
  env: aws.environment(),
});

async function post(url: string, body?: object): Promise<{ readonly id?: unknown }> {
  const response = await fetch(url, {
    method: 'POST',
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  const answer: { readonly id?: unknown } = JSON.parse(text);
  return answer;
}

async function built({ url }: Place, coordinator: Coordinator, policy: string): Promise<CollaborationView> {
  const { id } = await post(`${url}/v1/collaborations`, { policy });
  for (;;) {
    const view = await coordinator.collaboration(String(id));
    if (view.state === 'failed') throw new Error(`the image was not built: ${view.reason ?? 'for no reason'}`);
    if (view.state !== 'building') return view;
    await sleep(100);
  }
}

/** What `accord init` would have written; here it lives in memory, and only the outbox is a folder. */
async function homeOf({ aws, url, folder }: Place, party: Party, view: CollaborationView): Promise<Home> {
  const { measurements, canonicalPolicy } = view;
  if (measurements === undefined) throw new Error('a built image without measurements');
  const keyArn = KEY_ARNS[party];
  return {
    path: join(folder, `home-${party}`),
    config: {
      party,
      orchestrator: url,
      collaboration: view.id,
      keyArn,
      profile: party,
      enclaveRoleArn: `arn:aws:iam::${parseKmsKeyArn(keyArn).account}:role/${ENCLAVE_ROLE}`,
    },
    pins: {
      policyDigest: await policyDigest(canonicalPolicy),
      pcrs: measurements,
      root: localRoot(aws.issuer.rootSha256),
    },
    policy: parseCanonicalPolicy(canonicalPolicy),
  };
}

/** The party's key opens to this image, and to nothing else. */
async function pin(place: Place, party: Party, { pins }: Home): Promise<void> {
  const keyArn = KEY_ARNS[party];
  const { account } = parseKmsKeyArn(keyArn);
  const user = `arn:aws:iam::${account}:user/${party}`;
  const document = keyPolicy({
    keyArn,
    account,
    pins: [{ pcr0: pins.pcrs.PCR0, policyDigest: pins.policyDigest }],
    enclaveRoleArn: `arn:aws:iam::${account}:role/${ENCLAVE_ROLE}`,
    callerArn: user,
    contributorArn: user,
  });
  const kms = createKms(settings(place, party));
  try {
    await kms.send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy: keyPolicyText(document) }));
  } finally {
    kms.destroy();
  }
}

/** As `accord call` opens it. */
async function session(place: Place, coordinator: Coordinator, home: Home): Promise<Session> {
  const { party, keyArn, enclaveRoleArn, collaboration } = home.config;
  const kms = createKms(settings(place, party === 'alice' ? 'alice' : 'bob'));
  const sts = createSts(settings(place, party === 'alice' ? 'alice' : 'bob'));
  try {
    return await openSession({
      channel: await coordinator.connect(collaboration),
      party,
      keyArn,
      policyDigest: home.pins.policyDigest,
      expectation: pinnedExpectation(home),
      encryptChallenge: challengeEncryption(kms, keyArn),
      credentials: enclaveCredentials(sts, { roleArn: enclaveRoleArn, keyArn, sessionName: `bench-${party}` }),
      random,
      now: () => new Date(),
    });
  } finally {
    kms.destroy();
    sts.destroy();
  }
}

async function enclaveProcesses(runFolder: string): Promise<EnclaveProcesses> {
  const pids = await processesOf(runFolder);
  // Of each kind of jail one is next, and one is a spare.
  const find = (entry: string): number => {
    const pid = pids.find((candidate) => readFileSync(`/proc/${candidate}/cmdline`, 'utf8').includes(entry));
    if (pid === undefined) throw new Error(`no process of ${entry} runs`);
    return pid;
  };
  return { gate: find('gate.mjs'), decode: find('decode.mjs'), compute: find('compute.mjs') };
}

const QUIET_MS = 60;
const JAILS = 4;

async function settled(runFolder: string): Promise<void> {
  let before = '';
  for (;;) {
    const pids = await processesOf(runFolder);
    const now = pids.map((pid) => `${pid} ${ticks(pid)}`).join();
    if (now === before && pids.length === JAILS + 1) return;
    before = now;
    await sleep(QUIET_MS);
  }
}

/** Processor time of a process, in the kernel's ticks; of one that is gone, none. */
function ticks(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}
