/** What the interface shows of a collaboration: public things only. Key ARNs stay in the store. */
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import { explain } from '../policies/explain.ts';
import type { CanonicalPolicy } from '../policies/model.ts';
import { ANCHOR_PREFIX } from './contributions.ts';
import { missingConfinement, sealedState } from './life-lines.ts';
import type { RunningCollaboration } from './running.ts';
import type { RecordsUsage } from './store/records.ts';
import type { Collaboration, JsonObject } from './store/store.ts';

type Running = readonly RunningCollaboration[];

export function summaryOf(collaboration: Collaboration, running: Running): JsonObject {
  const { id, policyDigest, state, reason, measurements, contributions, createdAt, updatedAt } = collaboration;
  return {
    id,
    collaboration: collaboration.collaboration,
    policyDigest,
    state,
    host: running[0]?.describe().host ?? null,
    copies: running.length,
    reason,
    measurements,
    contributions,
    createdAt,
    updatedAt,
  };
}

export function detailsOf(collaboration: Collaboration, running: Running, records: RecordsUsage): JsonObject {
  const policy = parseCanonicalPolicy(collaboration.canonicalPolicy);
  const { sentences, weakenings } = explain(policy);
  return {
    ...summaryOf(collaboration, running),
    canonicalPolicy: collaboration.canonicalPolicy,
    inWords: sentences,
    weakenings: weakenings.map((weakening) => weakening.text),
    sizing: collaboration.sizing,
    anchors: anchorsOf(policy, collaboration),
    records,
    enclave: running[0]?.describe() ?? null,
    enclaves: running.map((one) => ({
      copy: one.copy,
      ...one.describe(),
      sealedState: policy.state === 'none' ? null : sealedState(one.enclave.console()),
      unconfined: missingConfinement(one.enclave.console()),
    })),
  };
}

/** Whose anchors the enclave writes, and whether it can: a bucket's owner contributes the credential for it. */
function anchorsOf({ anchors }: CanonicalPolicy, { contributions }: Collaboration): readonly JsonObject[] {
  if (anchors === 'none') return [];
  const isThere = (owner: string): boolean => contributions.some((one) => one.function === `${ANCHOR_PREFIX}${owner}`);
  return anchors.stores.map((store) =>
    'folder' in store
      ? { owner: store.owner, kind: 'folder', credential: 'not-needed' }
      : { owner: store.owner, kind: 's3', credential: isThere(store.owner) ? 'contributed' : 'missing' },
  );
}
