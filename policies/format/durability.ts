/** What holds between anchors, state, succession and trust. */
import { partitionOf } from '../arn.ts';
import type { CanonicalPolicy } from '../model.ts';
import { report, type Objection, type PartObjection, type Reading } from '../reading/shape.ts';
import type { Path, SourceEntry, SourceMap } from '../reading/source.ts';

const HALF = {
  anchors: {
    message: 'there are anchors, and no state: the keys of their entries would be lost with the enclave',
    hint: 'add `state: { seal: layered }`, or write `anchors: none`',
  },
  state: {
    message: 'there is state, and no anchors: an old copy of it could not be told from the newest',
    hint: 'add anchors, for example `anchors: { alice: { s3: "s3://alice-accord-anchor" } }`, or write `state: none`',
  },
  succeeds: {
    message: 'there is no state that could be taken over',
    hint: 'add state and anchors, or leave `succeeds` out: without them every policy begins anew',
  },
} as const;

const half = (key: keyof typeof HALF): Objection => ({ code: 'policy/half-durable', ...HALF[key] });

/** In what the parties wrote, whatever else is wrong with it: both anchors and state, or neither. */
export function reportHalves(source: SourceMap, path: Path, reading: Reading): void {
  const written = (key: string): SourceEntry | undefined => {
    const entry = source.entries.get(key);
    return entry === undefined || (entry.value.kind === 'scalar' && entry.value.value === 'none') ? undefined : entry;
  };
  const [anchors, state, succeeds] = [written('anchors'), written('state'), written('succeeds')];
  if (anchors !== undefined && state === undefined)
    report(reading, anchors.keyAt, [...path, 'anchors'], half('anchors'));
  if (state !== undefined && anchors === undefined) report(reading, state.keyAt, [...path, 'state'], half('state'));
  if (succeeds !== undefined && state === undefined) {
    report(reading, succeeds.keyAt, [...path, 'succeeds'], half('succeeds'));
  }
}

export const FOLDER_WITHOUT_TRIAL: Objection = {
  code: 'policy/folder-anchor',
  message: 'a folder lies on the host, which can change it: it is an anchor in trials with a local trust alone',
  hint: 'name a bucket of its owner, like { s3: "s3://alice-accord-anchor" }',
};

/** The owner's account has the bucket and the key, and an account lives in one partition of AWS. */
export function regionObjection(bucket: string, key: string): Objection | undefined {
  if (partitionOf(bucket) === partitionOf(key)) return undefined;
  return {
    code: 'policy/bad-value',
    message: `${bucket} is of ${partitionOf(bucket)}, and the owner's key, in ${key}, of ${partitionOf(key)}`,
    hint: "the bucket is in the account of its owner's key: name a Region of the same partition",
  };
}

/** Between the values of a canonical policy. */
export function checkDurability(policy: CanonicalPolicy): PartObjection | undefined {
  const { anchors, state, succeeds, trust, parties } = policy;
  if (state === 'none') {
    if (anchors !== 'none') return { ...half('anchors'), at: ['anchors'] };
    return succeeds === undefined ? undefined : { ...half('succeeds'), at: ['succeeds'] };
  }
  if (anchors === 'none') return { ...half('state'), at: ['state'] };
  const owners = anchors.stores.map(({ owner }) => owner);
  const ordered = state.order.filter((party) => owners.includes(party));
  if (owners.length !== ordered.length || owners.some((owner, index) => owner !== ordered[index])) {
    const message = 'the anchors do not stand in the order of the state, each owner once';
    return { code: 'policy/not-canonical', message, at: ['anchors', 'stores'] };
  }
  for (const store of anchors.stores) {
    const wrong =
      's3' in store ? regionObjection(store.s3.region, parties[store.owner]?.kmsKey.region ?? '') : undefined;
    if (wrong !== undefined) return { ...wrong, at: ['anchors', 'stores'] };
  }
  const folder = trust === 'aws' && anchors.stores.some((store) => 'folder' in store);
  return folder ? { ...FOLDER_WITHOUT_TRIAL, at: ['anchors', 'stores'] } : undefined;
}
