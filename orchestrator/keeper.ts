/**
 * What the enclaves of one collaboration may store with this host and have back: their own records, and what the policies
 * that theirs succeeds left behind. All of it is ciphertext or public; each thing is asked for by its digest.
 */
import { Readable } from 'node:stream';
import type { CanonicalPolicy } from '../policies/model.ts';
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import type { Given, RecordKeeper } from './relay/sealed-records.ts';
import type { SealedRecords } from './store/records.ts';
import type { Collaboration, Store } from './store/store.ts';

/** A policy that succeeds one that succeeds one … */
const MOST_PREDECESSORS = 16;

export function createKeeper(
  store: Pick<Store, 'findByDigest'>,
  records: SealedRecords,
  own: Collaboration,
): RecordKeeper {
  const { id } = own;
  return {
    put: (upload) => records.put(id, upload),
    putKeys: (upload) => records.putKeys(id, upload),
    keys: () => records.keys(id),
    async get(sha256) {
      for await (const one of withPredecessors(store, own)) {
        const found = await records.get(one.id, sha256);
        if (found !== undefined) return found;
      }
      return undefined;
    },
    async policy(digest) {
      const found = await store.findByDigest(digest);
      return found === undefined ? undefined : textOf(found.canonicalPolicy);
    },
  };
}

/** The collaboration, then the one its policy succeeds, and so on, as far as this host ran them. */
async function* withPredecessors(
  store: Pick<Store, 'findByDigest'>,
  own: Collaboration,
): AsyncGenerator<Collaboration, void, undefined> {
  let one: Collaboration | undefined = own;
  for (let count = 0; one !== undefined && count <= MOST_PREDECESSORS; count++) {
    yield one;
    const { succeeds }: CanonicalPolicy = parseCanonicalPolicy(one.canonicalPolicy);
    one = succeeds === undefined ? undefined : await store.findByDigest(succeeds.policyDigest);
  }
}

function textOf(text: string): Given {
  const bytes = Buffer.from(text);
  return { bytes: bytes.length, stream: Readable.from([bytes]) };
}
