/** What the interface shows of a collaboration: public things only. Key ARNs stay in the store. */
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import { explain } from '../policies/explain.ts';
import type { RunningCollaboration } from './running.ts';
import type { Collaboration, JsonObject } from './store/store.ts';

export function summaryOf(collaboration: Collaboration, running: RunningCollaboration | undefined): JsonObject {
  const { id, policyDigest, state, reason, measurements, contributions, createdAt, updatedAt } = collaboration;
  return {
    id,
    collaboration: collaboration.collaboration,
    policyDigest,
    state,
    host: running?.describe().host ?? null,
    reason,
    measurements,
    contributions,
    createdAt,
    updatedAt,
  };
}

export function detailsOf(collaboration: Collaboration, running: RunningCollaboration | undefined): JsonObject {
  const { sentences, weakenings } = explain(parseCanonicalPolicy(collaboration.canonicalPolicy));
  return {
    ...summaryOf(collaboration, running),
    canonicalPolicy: collaboration.canonicalPolicy,
    inWords: sentences,
    weakenings: weakenings.map((weakening) => weakening.text),
    sizing: collaboration.sizing,
    enclave: running === undefined ? null : running.describe(),
  };
}
