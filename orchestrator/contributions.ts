/**
 * Contributions: ciphertext that a party uploads, stored until the enclave asks for it. Names are those of functions with
 * a model, and `anchor.<party>` for the credential with which the enclave writes that party's anchor.
 *
 * Whoever reaches the interface may upload or delete, and only the enclave can tell whose envelope it is. So an upload
 * takes the place of the one before in what is listed and downloaded, but not on the disk. At most three a name stay:
 *
 *     the newest upload   its owner may be about to name it to the enclave
 *     given               the last that an enclave was given: it may be in force already, and the enclave have died, or a
 *                         stranger have uploaded, before it said so
 *     in force            the last that an enclave said it took: what was given after that it may have refused
 *
 * Each is written down before what it replaces is removed, so that a crash leaves one too many and never one too few.
 */
import { readEnvelope } from '../enclave/protocol/envelope.ts';
import { LIMITS } from '../enclave/protocol/limits.ts';
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import type { CanonicalPolicy } from '../policies/model.ts';
import { Failure } from '../policies/failure.ts';
import type { Readable } from 'node:stream';
import type { WantedEnvelope } from './relay/contributions.ts';
import { serially } from './serially.ts';
import type { Blobs } from './store/blobs.ts';
import type { Collaboration, Contribution, KeptBecause, Store } from './store/store.ts';

export type ContributionCode =
  | 'orchestrator/unknown-collaboration'
  | 'orchestrator/unknown-function'
  | 'orchestrator/no-contribution'
  | 'orchestrator/not-encrypted'
  | 'orchestrator/too-many-uploads';

export interface Upload {
  readonly source: AsyncIterable<Uint8Array>;
  /** What the sender announced, where it did. */
  readonly expectedBytes: number | undefined;
}

export interface Contributions {
  put(id: string, functionName: string, upload: Upload): Promise<Contribution>;
  get(id: string, functionName: string): Promise<Contribution>;
  delete(id: string, functionName: string): Promise<void>;
  /** The newest ciphertext itself, or undefined where there is none. */
  open(id: string, functionName: string): Promise<OpenedBlob | undefined>;
  /** What an enclave asks for. */
  give(id: string, functionName: string, wanted: WantedEnvelope): Promise<OpenedBlob | undefined>;
  /** An enclave took it: it is in force. False where it is not there any more. `sha256` as lower-case hex. */
  taken(id: string, functionName: string, sha256: string): Promise<boolean>;
  /** Waits for changes under way. */
  close(): Promise<void>;
}

interface OpenedBlob {
  readonly bytes: number;
  readonly stream: Readable;
}

const MOST_UPLOADS = 8;
export const ANCHOR_PREFIX = 'anchor.';
/** The credential of an IAM user, with its envelope's header. */
const CREDENTIAL_BYTES = 65_536;

export interface ContributionsOptions {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly log: (line: string) => void;
}

/** Removes what an earlier process left half-written or unused. */
export async function openContributions({ store, blobs, log }: ContributionsOptions): Promise<Contributions> {
  const changes = serially();
  let uploads = 0;
  await blobs.sweep(await store.blobsInUse());

  const find = async (id: string, functionName: string): Promise<Contribution | undefined> => {
    const collaboration = await demandCollaboration(store, id);
    const names = contributionNames(parseCanonicalPolicy(collaboration.canonicalPolicy));
    if (!names.includes(functionName)) {
      const what = functionName.startsWith(ANCHOR_PREFIX) ? 'anchor in S3' : 'function with a model';
      throw new Failure<ContributionCode>('usage', 'orchestrator/unknown-function', `the policy has no such ${what}`, {
        where: functionName,
        hint: names.length === 0 ? 'nothing is contributed to it' : `it has: ${names.join(', ')}`,
      });
    }
    return collaboration.contributions.find((entry) => entry.function === functionName);
  };
  const dropUnused = async (sha256: string): Promise<void> => {
    if (!(await store.blobsInUse()).has(sha256)) await blobs.remove(sha256);
  };
  const newest = async (id: string, functionName: string): Promise<string | undefined> =>
    (await store.get(id))?.contributions.find((entry) => entry.function === functionName)?.sha256;
  const keep = async (id: string, functionName: string, because: KeptBecause, sha256: string): Promise<void> => {
    const before = (await store.keptContributions(id, functionName)).get(because);
    if (before === sha256) return;
    await store.keepContribution(id, functionName, because, sha256);
    if (before !== undefined) await dropUnused(before);
  };

  return {
    async put(id, functionName, { source, expectedBytes }) {
      await find(id, functionName);
      if (uploads >= MOST_UPLOADS) {
        throw new Failure<ContributionCode>(
          'environment',
          'orchestrator/too-many-uploads',
          'too many uploads at once',
          {
            hint: 'try again in a moment',
          },
        );
      }
      uploads += 1;
      try {
        const received = await blobs.receive(source, {
          maxBytes: functionName.startsWith(ANCHOR_PREFIX) ? CREDENTIAL_BYTES : LIMITS.contributionBytes,
          inspect: demandEnvelope,
          ...(expectedBytes === undefined ? {} : { expectedBytes }),
        });
        return await changes(async () => {
          const before = await find(id, functionName);
          await received.keep();
          const { bytes, sha256 } = received;
          const contribution = await store.putContribution(id, { function: functionName, bytes, sha256 });
          if (before !== undefined && before.sha256 !== sha256) await dropUnused(before.sha256);
          log(`${id}: contribution of ${functionName} stored (${bytes} bytes of ciphertext)`);
          return contribution;
        });
      } finally {
        uploads -= 1;
      }
    },

    get: async (id, functionName) => (await find(id, functionName)) ?? noContribution(functionName),

    delete: (id, functionName) =>
      changes(async () => {
        const before = (await find(id, functionName)) ?? noContribution(functionName);
        await store.deleteContribution(id, functionName);
        await dropUnused(before.sha256);
      }),

    open: async (id, functionName) => {
      const sha256 = await newest(id, functionName);
      return sha256 === undefined ? undefined : blobs.read(sha256);
    },

    give: (id, functionName, wanted) =>
      changes(async () => {
        const [uploaded, kept] = [await newest(id, functionName), await store.keptContributions(id, functionName)];
        const inForce = kept.get('in-force');
        if ('earlier' in wanted && wanted.earlier) {
          return inForce === undefined || inForce === uploaded ? undefined : blobs.read(inForce);
        }
        const sha256 = 'sha256' in wanted ? wanted.sha256 : uploaded;
        if (sha256 === undefined || ![uploaded, ...kept.values()].includes(sha256)) return undefined;
        if (sha256 !== inForce) await keep(id, functionName, 'given', sha256);
        return blobs.read(sha256);
      }),

    taken: (id, functionName, sha256) =>
      changes(async () => {
        const kept = await store.keptContributions(id, functionName);
        if (![await newest(id, functionName), ...kept.values()].includes(sha256)) return false;
        await keep(id, functionName, 'in-force', sha256);
        return true;
      }),

    close: () => changes(async () => {}),
  };
}

/** What may be contributed to such a policy. */
export function contributionNames({ functions, anchors }: CanonicalPolicy): readonly string[] {
  const models = Object.entries(functions).filter(([, { uses }]) => uses !== 'counter');
  const stores = anchors === 'none' ? [] : anchors.stores.filter((store) => 's3' in store);
  return [...models.map(([name]) => name), ...stores.map(({ owner }) => `${ANCHOR_PREFIX}${owner}`)];
}

/** Throws `orchestrator/unknown-collaboration`. */
export async function demandCollaboration(store: Store, id: string): Promise<Collaboration> {
  const found = await store.get(id);
  if (found !== undefined) return found;
  throw new Failure<ContributionCode>('usage', 'orchestrator/unknown-collaboration', 'there is no such collaboration', {
    where: id,
    hint: '`accord ps` lists them',
  });
}

/** Somebody will try to upload the model itself one day. What is not an envelope is not even stored. */
async function demandEnvelope(head: Uint8Array): Promise<void> {
  try {
    await readEnvelope([head]);
  } catch (cause) {
    throw new Failure<ContributionCode>(
      'malformed',
      'orchestrator/not-encrypted',
      'this is not an encrypted contribution; it was not kept',
      { hint: 'never upload a model itself: `accord contribute` encrypts it to the enclave first', cause },
    );
  }
}

function noContribution(functionName: string): never {
  throw new Failure<ContributionCode>('usage', 'orchestrator/no-contribution', 'nothing was contributed for it yet', {
    where: functionName,
    hint: functionName.startsWith(ANCHOR_PREFIX)
      ? "the anchor's owner contributes its credential with `accord anchor contribute`"
      : "the model's owner contributes it with `accord contribute`",
  });
}
