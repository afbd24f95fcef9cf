/**
 * A collaboration of real programs: AWS in miniature and the orchestrator as processes, enclaves of the built image as
 * processes of the local host, and anchors in folders or in buckets. One image has many counters, and each run has one of
 * its own: a quota that nobody has touched.
 */
import { ListObjectVersionsCommand, DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PartyContext } from '../../../parties/cli/party.ts';
import { partyContext } from '../../../parties/cli/party.ts';
import type { Io } from '../../../parties/cli/verb.ts';
import { createS3 } from '../../../parties/kms/client.ts';
import type { Prng } from '../simulation/prng.ts';
import type { Agreement, Person, Place } from '../../flow/collaboration.ts';
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

export const OWNERS = ['alice', 'bob'] as const;
export const QUOTAS = { alice: 2, bob: 1 } as const;
export const COPIES = 2;
export type AnchorKind = 'folder' | 's3';

export interface RealPlace {
  readonly kind: AnchorKind;
  readonly place: Place;
  context(person: Person, copy: number): Promise<{ readonly context: PartyContext; readonly io: Io }>;
  /** Has the orchestrator start what does not run. Rejects where it cannot. */
  launch(): Promise<void>;
  /** The enclaves' own processes. */
  gates(): Promise<readonly number[]>;
  /** Takes an owner's anchor away, or gives it back. With buckets all of AWS goes. */
  hide(owner: Person): Promise<void>;
  show(owner: Person): Promise<void>;
  /** Oldest object of every key, for each anchor. */
  entries(): Promise<readonly ReadonlyMap<string, Uint8Array>[]>;
  /** Hides a ticket as its owner may: a delete marker, and an object of its own over it. Buckets only. */
  meddle(owner: Person, random: Prng): Promise<void>;
  /** The host's records as they are now, to be put back. Only while the orchestrator is down. */
  keepRecords(): Promise<void>;
  rollRecordsBack(): Promise<void>;
  /** Everything that was ever in them is there again. */
  healRecords(): Promise<void>;
  close(): Promise<void>;
}

/** As the policy's default. */
const PREFIX = 'accord/';

export const counterOf = (run: number): string => `c${run}`;

export async function openRealPlace(kind: AnchorKind, runs: number): Promise<RealPlace> {
  const place = await openPlace();
  try {
    return await furnish(place, kind, runs);
  } catch (error) {
    await place.close();
    throw error;
  }
}

async function furnish(place: Place, kind: AnchorKind, runs: number): Promise<RealPlace> {
  const folderOf = (owner: Person): string => join(place.folder, `anchor-${owner}`);
  const bucketOf = (owner: Person): string => `${owner}-faults-${process.pid}`;
  const policyFile = join(place.folder, 'policy.json');
  const terms = { uses: 'counter', calls: QUOTAS, input: { maxBytes: '1KiB' }, release: { padTo: '1KiB' } };
  const anchors = OWNERS.map((owner) => [owner, kind === 'folder' ? { folder: folderOf(owner) } : { s3: `s3://${bucketOf(owner)}` }] as const); // prettier-ignore
  const policy = {
    apiVersion: 'accord/v1',
    collaboration: `faults-${kind}`,
    until: '2027-06-30',
    parties: Object.fromEntries(OWNERS.map((owner) => [owner, { role: 'data-owner', kmsKeyArn: keyOf(owner) }])),
    functions: Object.fromEntries(Array.from({ length: runs }, (_, run) => [counterOf(run), terms])),
    anchors: { ...Object.fromEntries(anchors), quorum: OWNERS.length },
    state: { seal: 'layered', order: OWNERS },
    enclave: { memoryMiB: 512, cpus: 1 },
  };
  await writeFile(policyFile, JSON.stringify(policy));
  const trust = [policyFile, ...trustOf(place)];
  for (const owner of OWNERS) {
    await must(place, 'anchor', 'make', ...trust, '--party', owner, '--profile', owner);
  }
  const agreement: Agreement = await agree(place, policyFile);
  await takePart(place, agreement, ...OWNERS);
  if (kind === 's3') for (const owner of OWNERS) await must(place, 'anchor', 'contribute', ...at(place, owner));
  const env = { ...process.env, ...environmentOf(parsed(await place.aws.firstLine)) };
  const records = join(place.dataFolder, 'records');
  const old = join(place.folder, 'old-records');
  const everything = join(place.folder, 'all-records');
  const s3Of = (owner: Person): S3Client => createS3({ profile: owner, region: 'eu-west-1', env });
  return {
    kind,
    place,
    async context(person, copy) {
      const io: Io = {
        out: () => {},
        err: () => {},
        env,
        cwd: place.folder,
        signal: AbortSignal.timeout(30_000),
        interactive: false,
        stdin: () => Promise.resolve(new Uint8Array(0)),
      };
      return { context: await partyContext({ home: homeOf(place, person), copy: String(copy) }, io), io };
    },
    async launch() {
      const url = `${place.url}/v1/collaborations/${agreement.id}/launch?copies=${COPIES}`;
      const response = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(60_000) });
      if (!response.ok) throw new Error(`launch: ${response.status} ${(await response.text()).slice(0, 300)}`);
    },
    gates: () => enclaveProcesses(place, 'gate.mjs'),
    async hide(owner) {
      if (kind === 'folder') await rename(folderOf(owner), `${folderOf(owner)}-hidden`);
      else place.aws.child.kill('SIGKILL');
    },
    async show(owner) {
      if (kind === 'folder') await rename(`${folderOf(owner)}-hidden`, folderOf(owner));
      else {
        await place.aws.outcome;
        await place.startAws();
      }
    },
    entries: () =>
      Promise.all(
        OWNERS.map((owner) =>
          kind === 'folder' ? folderEntries(folderOf(owner)) : bucketEntries(s3Of(owner), bucketOf(owner)),
        ),
      ),
    async meddle(owner, random) {
      if (kind === 'folder') return;
      const s3 = s3Of(owner);
      const { Versions = [] } = await list(s3, bucketOf(owner), { Prefix: `${PREFIX}tickets/` });
      if (Versions.length === 0) return;
      const where = { Bucket: bucketOf(owner), Key: random.pick(Versions).Key ?? '' };
      await s3.send(new DeleteObjectCommand(where));
      // The bucket's policy may forbid it, to its owner too.
      await s3.send(new PutObjectCommand({ ...where, Body: 'mine' })).catch(() => {});
    },
    keepRecords: () => cp(records, old, { recursive: true, force: true }),
    async rollRecordsBack() {
      await cp(records, everything, { recursive: true, force: true });
      await rm(records, { recursive: true, force: true });
      await cp(old, records, { recursive: true, force: true }).catch(() => mkdir(records));
    },
    healRecords: () => cp(everything, records, { recursive: true, force: false }).catch(() => {}),
    close: () => place.close(),
  };
}

function environmentOf({ environment }: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(Object(environment)).map(([name, value]) => [name, String(value)]));
}

async function folderEntries(folder: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const entries = new Map<string, Uint8Array>();
  for (const found of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!found.isFile()) continue;
    const path = join(found.parentPath, found.name);
    entries.set(path.slice(folder.length + 1), new Uint8Array(await readFile(path)));
  }
  return entries;
}

async function bucketEntries(s3: S3Client, Bucket: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const oldest = new Map<string, string>();
  let next: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } | undefined = {};
  while (next !== undefined) {
    const page: Awaited<ReturnType<typeof list>> = await list(s3, Bucket, next);
    // Newest first within a key: the last one seen is the oldest.
    for (const { Key = '', VersionId = '' } of page.Versions ?? []) oldest.set(Key, VersionId);
    next = page.IsTruncated === true ? markers(page) : undefined;
  }
  const entries = new Map<string, Uint8Array>();
  for (const [Key, VersionId] of oldest) {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, VersionId }));
    entries.set(Key, (await Body?.transformToByteArray()) ?? new Uint8Array(0));
  }
  return entries;
}

const list = (s3: S3Client, Bucket: string, from: object) =>
  s3.send(new ListObjectVersionsCommand({ Bucket, ...from }));

function markers({
  NextKeyMarker,
  NextVersionIdMarker,
}: {
  NextKeyMarker?: string | undefined;
  NextVersionIdMarker?: string | undefined;
}) {
  // prettier-ignore
  return {
    ...(NextKeyMarker === undefined ? {} : { KeyMarker: NextKeyMarker }),
    ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }),
  };
}
