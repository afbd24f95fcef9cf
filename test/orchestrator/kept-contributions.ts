/** The orchestrator's keeping of contributions by itself: one store, and a collaboration with blobs for each test. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contributions } from '../../orchestrator/contributions.ts';
import { openContributions } from '../../orchestrator/contributions.ts';
import type { ContributionKeeper } from '../../orchestrator/relay/contributions.ts';
import { openBlobs } from '../../orchestrator/store/blobs.ts';
import { lockDataFolder } from '../../orchestrator/store/lock.ts';
import { openPGlite } from '../../orchestrator/store/pglite.ts';
import { createSqlStore } from '../../orchestrator/store/sql-store.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../policies/canonical.ts';
import type { Store } from '../../orchestrator/store/store.ts';
import type { Policy } from '../../policies/model.ts';

export interface KeptContributions {
  /** Anybody's PUT and DELETE. */
  readonly upload: (name: string, envelope: Uint8Array) => Promise<void>;
  readonly remove: (name: string) => Promise<void>;
  /** What the enclave's questions come to. */
  readonly keeper: ContributionKeeper;
  /** SHA-256 of all blobs on the disk, sorted. */
  readonly onDisk: () => Promise<readonly string[]>;
  /** The orchestrator's restart. */
  readonly restart: () => Promise<void>;
}

export interface KeptStore {
  /** A new collaboration of this policy. */
  readonly collaboration: (policy: Policy) => Promise<KeptContributions>;
  readonly close: () => Promise<void>;
}

export async function openKeptStore(): Promise<KeptStore> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-kept-'));
  const lock = await lockDataFolder(folder);
  const store = await createSqlStore(await openPGlite(join(folder, 'database'), lock), () => new Date());
  return {
    async collaboration(policy) {
      const policyDigest = randomBytes(48).toString('hex');
      const id = `kept-${policyDigest.slice(0, 12)}`;
      const canonicalPolicy = canonicalPolicyText(await toCanonicalPolicy(policy));
      await store.create({ id, collaboration: 'kept', policyDigest, canonicalPolicy, policy: '{}' });
      return keptContributions(store, id, join(folder, id));
    },
    async close() {
      await store.close();
      await lock.release();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function keptContributions(store: Store, id: string, folder: string): Promise<KeptContributions> {
  const open = async (): Promise<Contributions> =>
    openContributions({ store, blobs: await openBlobs(folder), log: () => {} });
  let contributions = await open();
  return {
    async upload(name, envelope) {
      const source = (async function* (): AsyncGenerator<Uint8Array> {
        yield envelope;
      })();
      await contributions.put(id, name, { source, expectedBytes: envelope.length });
    },
    remove: (name) => contributions.delete(id, name),
    keeper: {
      give: (name, wanted) => contributions.give(id, name, wanted),
      taken: (name, sha256) => contributions.taken(id, name, sha256),
    },
    onDisk: async () => (await readdir(folder)).toSorted(),
    async restart() {
      await contributions.close();
      contributions = await open();
    },
  };
}
