/**
 * Real programs, for all runs: AWS in miniature, moto and the orchestrator as processes, and between them what makes
 * trouble. A collaboration in it has enclaves of one built image as processes of the local host, anchors of one kind, and
 * many counters: each run has one of its own, a quota that nobody has touched.
 */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { PartyContext } from '../../../parties/cli/party.ts';
import { partyContext } from '../../../parties/cli/party.ts';
import type { Io } from '../../../parties/cli/verb.ts';
import { createCoordinator } from '../../../parties/coordinator/client.ts';
import { createS3 } from '../../../parties/kms/client.ts';
import type { Agreement, Person, Place, Seat } from '../../flow/collaboration.ts';
import {
  agree,
  at,
  enclaveProcesses,
  homeOf,
  keyOf,
  must,
  openPlace,
  parsed,
  takePart,
  trustOf,
} from '../../flow/collaboration.ts';
import { CLEAN, startAccord } from '../../flow/processes.ts';
import type { Moto } from '../../orchestrator/local/moto.ts';
import { startMoto } from '../../orchestrator/local/moto.ts';
import type { AwsFront } from './aws-front.ts';
import { openAwsFront } from './aws-front.ts';
import type { PartyLine } from './party-line.ts';
import { openPartyLine } from './party-line.ts';
import type { OwnedStore } from './stores.ts';
import { bucketStore, dropBucketPolicy, folderStore } from './stores.ts';
import type { Tally } from './tally.ts';

export const OWNERS = ['alice', 'bob'] as const;
export const QUOTAS = { alice: 2, bob: 1 } as const;
/** Enclaves of the one image that serve at once. */
export const COPIES = 2;
export const ANCHOR_KINDS = ['folder', 's3', 'moto'] as const;
export type AnchorKind = (typeof ANCHOR_KINDS)[number];

export interface RealPlace {
  readonly place: Place;
  readonly front: AwsFront;
  readonly line: PartyLine;
  readonly moto: Moto | undefined;
  restartAws(): Promise<void>;
  collaborate(kind: AnchorKind, counters: number): Promise<RealCollaboration>;
  close(): Promise<void>;
}

export interface RealCollaboration {
  readonly kind: AnchorKind;
  readonly stores: Readonly<Record<(typeof OWNERS)[number], OwnedStore>>;
  /** To reach that copy; over the line that makes trouble. */
  context(person: Person, copy: number, signal: AbortSignal): { readonly context: PartyContext; readonly io: Io };
  /** Has the orchestrator start what does not run. Rejects where it cannot. */
  launch(copies?: number): Promise<void>;
  terminate(): Promise<void>;
  /** The enclaves' own processes. */
  gates(): Promise<readonly number[]>;
  /** The host's records as they are now, to be put back. Only while the orchestrator is down. */
  keepRecords(): Promise<void>;
  rollRecordsBack(): Promise<void>;
  /** Everything that was ever in them is there again. */
  healRecords(): Promise<void>;
}

export const counterOf = (number: number): string => `c${number}`;

export async function openRealPlace(kinds: readonly AnchorKind[], tally: Tally): Promise<RealPlace> {
  const undo: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const place = await openPlace();
    undo.push(() => place.close());
    const front = await openAwsFront(place.awsFolder, tally);
    undo.push(() => front.close());
    const stand = async (): Promise<void> =>
      front.standBefore(place.awsFolder, String(parsed(await place.aws.firstLine)['url']));
    await stand();
    const line = await openPartyLine(() => place.url, tally);
    undo.push(() => line.close());
    const moto = kinds.includes('moto') ? await startMoto() : undefined;
    if (moto !== undefined) undo.push(() => moto.stop());
    let made = 0;
    const real: RealPlace = {
      place,
      front,
      line,
      moto,
      async restartAws() {
        place.aws.child.kill('SIGKILL');
        await place.aws.outcome;
        await place.startAws();
        await stand();
      },
      collaborate: (kind, counters) => collaborate(real, kind, counters, (made += 1)),
      close,
    };
    return real;
  } catch (error) {
    await close();
    throw error;
  }
}

/** `number` tells this collaboration, its folders and its buckets from others of the place. */
async function collaborate(
  { place, front, line, moto }: RealPlace,
  kind: AnchorKind,
  counters: number,
  number: number,
): Promise<RealCollaboration> {
  const folderOf = (owner: Person): string => join(place.folder, `anchor-${owner}-${number}`);
  const bucketOf = (owner: Person): string => `${owner}-faults-${process.pid}-${number}`;
  const env: Readonly<Record<string, string>> = {
    ...CLEAN,
    ...environmentOf(parsed(await place.aws.firstLine)),
    ...(kind === 'moto' && moto !== undefined ? { AWS_ENDPOINT_URL_S3: moto.url } : {}),
  };
  const seat: Seat = { ...place, start: (...argv) => startAccord({ cwd: place.folder, env }, ...argv) };
  if (kind === 'moto' && moto !== undefined) for (const owner of OWNERS) front.toMoto(bucketOf(owner), moto.url);

  const policyFile = join(place.folder, `policy-${number}.json`);
  const terms = { uses: 'counter', calls: QUOTAS, input: { maxBytes: '1KiB' }, release: { padTo: '1KiB' } };
  const anchors = OWNERS.map((owner) => [owner, kind === 'folder' ? { folder: folderOf(owner) } : { s3: `s3://${bucketOf(owner)}` }] as const); // prettier-ignore
  const policy = {
    apiVersion: 'accord/v1',
    collaboration: `faults-${kind}-${number}`,
    until: '2027-06-30',
    parties: Object.fromEntries(OWNERS.map((owner) => [owner, { role: 'data-owner', kmsKeyArn: keyOf(owner) }])),
    functions: Object.fromEntries(Array.from({ length: counters }, (_, i) => [counterOf(i), terms])),
    anchors: { ...Object.fromEntries(anchors), quorum: OWNERS.length },
    state: { seal: 'layered', order: OWNERS },
    enclave: { memoryMiB: 512, cpus: 1 },
  };
  await writeFile(policyFile, JSON.stringify(policy));
  const trust = [policyFile, ...trustOf(seat)];
  for (const owner of OWNERS) await must(seat, 'anchor', 'make', ...trust, '--party', owner, '--profile', owner);
  const agreement: Agreement = await agree(seat, policyFile);
  await takePart(seat, agreement, ...OWNERS);
  if (kind !== 'folder') for (const owner of OWNERS) await must(seat, 'anchor', 'contribute', ...at(seat, owner));

  const io: Io = {
    out: () => {},
    err: () => {},
    env,
    cwd: place.folder,
    signal: new AbortController().signal,
    interactive: false,
    stdin: () => Readable.from([]),
  };
  const homes = new Map<Person, PartyContext>();
  for (const owner of OWNERS) {
    const context = await partyContext({ home: homeOf(seat, owner) }, io);
    homes.set(owner, { ...context, coordinator: createCoordinator(line.url) });
  }
  const storeOf = async (owner: Person): Promise<OwnedStore> => {
    if (kind === 'folder') return folderStore(folderOf(owner));
    const s3 = createS3({ profile: owner, region: 'eu-west-1', env });
    if (kind === 'moto') await dropBucketPolicy(s3, bucketOf(owner));
    return bucketStore(s3, bucketOf(owner), front, kind !== 'moto');
  };
  const records = join(place.dataFolder, 'records');
  const old = join(place.folder, 'old-records');
  const everything = join(place.folder, 'all-records');
  const ask = async (what: string): Promise<void> => {
    const url = `${place.url}/v1/collaborations/${agreement.id}/${what}`;
    const post = (): Promise<Response> => fetch(url, { method: 'POST', signal: AbortSignal.timeout(300_000) });
    // A connection that was kept may be that of an orchestrator that is gone.
    const response = await post().catch(post);
    if (!response.ok) throw new Error(`${what}: ${response.status} ${(await response.text()).slice(0, 300)}`);
  };
  return {
    kind,
    stores: { alice: await storeOf('alice'), bob: await storeOf('bob') },
    context(person, copy, signal) {
      const context = homes.get(person);
      if (context === undefined) throw new RangeError(`${person} takes no part`);
      return { context: { ...context, copy }, io: { ...io, signal } };
    },
    launch: (copies = COPIES) => ask(`launch?copies=${copies}`),
    terminate: () => ask('terminate'),
    gates: () => enclaveProcesses(place, 'gate.mjs'),
    keepRecords: () => cp(records, old, { recursive: true, force: true }),
    async rollRecordsBack() {
      await cp(records, everything, { recursive: true, force: true });
      await rm(records, { recursive: true, force: true });
      await cp(old, records, { recursive: true, force: true }).catch(() => mkdir(records));
    },
    healRecords: () => cp(everything, records, { recursive: true, force: false }).catch(() => {}),
  };
}

function environmentOf({ environment }: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(Object(environment)).map(([name, value]) => [name, String(value)]));
}
