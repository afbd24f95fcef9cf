/**
 * A collaboration for real, from the party's seal to the opened answer: the local AWS and an orchestrator in this
 * process, the enclave as the local host starts it (the unpacked image, gate and jails as processes of their own), and
 * the parties' own code at the other end of a WebSocket.
 */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { startLocalAws } from '../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../orchestrator/local/aws.ts';
import { startOrchestrator } from '../../orchestrator/main.ts';
import { createQuiet, processesBelow } from '../timing/quiet.ts';
import { createCoordinator } from '../../parties/coordinator/client.ts';
import type { CollaborationView, Coordinator } from '../../parties/coordinator/client.ts';
import type { Home } from '../../parties/home.ts';
import type { FrameChannel } from '../../parties/session/channel.ts';
import type { Session } from '../../parties/session/session.ts';
import { contribute, homeOf, openSessionOf, pin } from './parties.ts';
import type { Agreement, Party } from './parties.ts';
import { policyOf } from './samples.ts';
import type { AnchorFolders, Subject } from './samples.ts';

/** Process ids of a running enclave. */
export interface EnclaveProcesses {
  readonly gate: number;
  readonly decode: number;
  readonly compute: number;
}

export interface Collaboration {
  openSession(party: Party): Promise<Session>;
  processes(): Promise<EnclaveProcesses>;
  /** Resolves when no enclave of this path has anything to do: the spares of their jails are warm. */
  settled(): Promise<void>;
  /** Resolves when nothing of the enclave runs any more. */
  stop(): Promise<void>;
}

export interface WholePath {
  readonly aws: LocalAws;
  /** Built, pinned in both keys' policies, launched, Bob's model contributed. With `anchored`, calls are written down in two folders. */
  collaborate(subject: Subject, anchored?: 'anchored'): Promise<Collaboration>;
  close(): Promise<void>;
}

const MANY_CALLS = 1_000_000;

export async function startWholePath(): Promise<WholePath> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-bench-')));
  // Beside it: jails are other users where root runs them, and the folder above is shut.
  const runFolder = await realpath(await mkdtemp(join(tmpdir(), 'accord-bench-run-')));
  const undo: (() => Promise<unknown>)[] = [folder, runFolder].map(
    (path) => () => rm(path, { recursive: true, force: true }),
  );
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const aws = await startLocalAws({ dataDir: join(folder, 'aws') });
    undo.push(() => aws.close());
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
    const pinned: Place['pinned'] = [];
    return {
      aws,
      close,
      collaborate: (subject, anchored) =>
        collaborate({ aws, url: orchestrator.url, folder, pinned }, subject, anchored !== undefined),
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
  /** Of every collaboration so far. */
  readonly pinned: Pick<Home, 'pins'>[];
}

async function collaborate(place: Place, subject: Subject, anchored: boolean): Promise<Collaboration> {
  const { aws, url, folder } = place;
  const coordinator = createCoordinator(url);
  const folders = anchored ? await anchorFolders(folder) : undefined;
  const view = await built(place, coordinator, policyOf(subject.uses, MANY_CALLS, aws.trust, folders));
  const agreement = agreementOf(place, view);
  const bob = await homeOf(aws, folder, 'bob', agreement);
  place.pinned.push(bob);
  await pin(aws, place.pinned);
  await post(`${url}/v1/collaborations/${view.id}/launch`);
  const open = async (party: Party): Promise<Session> =>
    openSessionOf(
      aws,
      party,
      await homeOf(aws, folder, party, agreement),
      inTurnWithTheRelay(await coordinator.connect(view.id)),
    );
  // The state opens when both are there.
  const alice = await open('alice');
  await contribute(aws, bob, subject, { coordinator, openSession: () => open('bob') });
  await alice.close();
  const quiet = createQuiet();
  await quiet.learn();
  return {
    openSession: open,
    processes: enclaveProcesses,
    settled: () => quiet.reached(),
    stop: async () => void (await post(`${url}/v1/collaborations/${view.id}/terminate`)),
  };
}

/**
 * The party and the relay share one process here, and on a real way they do not: after each frame that the party has handed to the
 * kernel, the relay has its turn, as if it ran by itself.
 */
function inTurnWithTheRelay(channel: FrameChannel): FrameChannel {
  return {
    ...channel,
    async send(body, signal) {
      await channel.send(body, signal);
      await nextTurn();
    },
  };
}

async function anchorFolders(folder: string): Promise<AnchorFolders> {
  const folders = { alice: join(folder, 'anchor-alice'), bob: join(folder, 'anchor-bob') };
  for (const anchor of Object.values(folders)) await mkdir(anchor, { recursive: true });
  return folders;
}

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

function agreementOf({ url }: Place, { id, measurements, canonicalPolicy }: CollaborationView): Agreement {
  if (measurements === undefined) throw new Error('a built image without measurements');
  return { measurements, canonicalPolicy, orchestrator: url, collaboration: id };
}

/** Of each kind of jail one is next, and one is a spare. */
async function enclaveProcesses(): Promise<EnclaveProcesses> {
  const pids = await processesBelow(process.pid);
  const commands = pids.map((pid) => ({ pid, words: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') }));
  const find = (entry: string): number => {
    const found = commands.find(
      ({ words }) => !words[0]?.endsWith('bwrap') && words.some((word) => word.endsWith(entry)),
    );
    if (found === undefined) throw new Error(`no process of ${entry} runs`);
    return found.pid;
  };
  return { gate: find('gate.mjs'), decode: find('decode.mjs'), compute: find('compute.mjs') };
}
