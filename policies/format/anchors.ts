import { REGION_PATTERN } from '../arn.ts';
import { BOUNDS } from '../bounds.ts';
import type { AnchorSet, AnchorStore } from '../model.ts';
import { object, optional } from '../reading/object.ts';
import { choice, text, whole } from '../reading/scalars.ts';
import { map, report, scalarOr, wrongType, type Objection, type Shape } from '../reading/shape.ts';
import { ADDRESS_PATTERN, inspectBucketAddress, type BucketAddress } from './bucket.ts';
import { partyName } from './names.ts';

export const NONE: Shape<'none'> = choice(
  'Where spent calls are written down. `none`: in the memory of the enclave, so a restart resets them.',
  '`none`, or stores by party',
  ['none'],
);

export const region: Shape<string> = text({
  description: "Region of the bucket. Default: that of its owner's key.",
  wanted: 'an AWS Region',
  pattern: REGION_PATTERN,
  maxLength: 32,
  hint: 'write it like eu-west-1',
});

const address: Shape<BucketAddress> = map(
  text({
    description: 'The bucket and a prefix in it: s3://bucket/prefix. Without a prefix: accord/.',
    wanted: 'an address in S3',
    pattern: ADDRESS_PATTERN,
    maxLength: 63 + 8 + BOUNDS.prefixCharacters,
    code: 'policy/bad-bucket',
    hint: 'write it like s3://alice-accord-anchor',
    check(value): Objection | undefined {
      const found = inspectBucketAddress(value);
      return 'bucket' in found ? undefined : found;
    },
  }),
  (value) => {
    const found = inspectBucketAddress(value);
    if ('bucket' in found) return found;
    throw new Error('an address was taken that is none');
  },
);

export const folder: Shape<string> = text({
  description: 'An absolute path on the host: for trying out alone, since the host can change it.',
  wanted: 'an absolute path',
  pattern: '^(/[A-Za-z0-9_@+=, -][A-Za-z0-9._@+=, -]*)+$',
  maxLength: 1024,
  code: 'policy/bad-path',
  hint: 'write it out from the root, like /var/tmp/anchor-alice, without . or .. or a slash at the end',
});

/** As the parties write it: the Region is perhaps left to the owner's key. */
export type WrittenStore = { readonly s3: BucketAddress; readonly region?: string } | { readonly folder: string };

export interface WrittenAnchors {
  readonly stores: ReadonlyMap<string, WrittenStore>;
  readonly quorum: number;
}

interface LooseStore {
  readonly s3?: BucketAddress;
  readonly region?: string;
  readonly folder?: string;
}

const looseStore = object<LooseStore>(
  { s3: optional(address), region: optional(region), folder: optional(folder) },
  { description: "One party's store.", wanted: 'a store, like { s3: "s3://alice-accord-anchor" }' },
);

const store: Shape<WrittenStore> = {
  schema: looseStore.schema,
  read(source, path, reading) {
    const loose = looseStore.read(source, path, reading);
    if (loose === undefined) return undefined;
    if (loose.s3 !== undefined && loose.folder === undefined) {
      return { s3: loose.s3, ...(loose.region === undefined ? {} : { region: loose.region }) };
    }
    if (loose.folder !== undefined && loose.s3 === undefined && loose.region === undefined)
      return { folder: loose.folder };
    return report(reading, source.at, path, {
      code: 'policy/bad-value',
      message: loose.folder === undefined ? 'this names no store' : 'a store is either in S3 or a folder',
      hint: 'write { s3: "s3://…" }, with a region where it is not that of the key; for a trial { folder: /… }',
    });
  },
};

const QUORUM = 'quorum';
export const owner: Shape<string> = partyName('The party whose store this is.');
export const quorumShape: Shape<number> = whole({
  description: 'So many anchors must hold an entry before it counts: more than half. Default: all.',
  wanted: 'a number of anchors',
  min: 1,
  max: BOUNDS.parties,
});

/** Two quorums must always have an anchor in common, else two copies could each have one of their own. */
export function quorumObjection(quorum: number, anchors: number): Objection | undefined {
  const least = Math.floor(anchors / 2) + 1;
  if (quorum >= least && quorum <= anchors) return undefined;
  return {
    code: 'policy/out-of-range',
    message:
      quorum > anchors
        ? `${quorum} anchors must hold an entry, and there ${anchors === 1 ? 'is' : 'are'} ${anchors}`
        : `${quorum} of ${anchors} anchors is not more than half: two copies of the enclave could each find so many of their own`,
    hint:
      least === anchors
        ? `write ${anchors}, or leave it out`
        : `write a number from ${least} to ${anchors}; left out, it is ${anchors}`,
  };
}

/** What one store is, whoever names it. */
export const storeKey = (one: { readonly s3: BucketAddress } | { readonly folder: string }): string =>
  's3' in one ? `s3://${one.s3.bucket}/${one.s3.prefix}` : one.folder;

export const twice = (other: string): Objection => ({
  code: 'policy/duplicate-anchor',
  message: `this is also the store of ${other}: it would count twice, and hold no more than once`,
  hint: 'each anchor is a store of its own',
});

const written: Shape<WrittenAnchors> = {
  schema: {
    type: 'object',
    description: 'Stores by party, where spent calls are written down.',
    properties: { [QUORUM]: quorumShape.schema },
    additionalProperties: store.schema,
    propertyNames: owner.schema,
    minProperties: 1,
    maxProperties: BOUNDS.parties + 1,
  },
  read(source, path, reading) {
    if (source.kind !== 'map') return wrongType(reading, source, path, '`none`, or stores by party');
    const before = reading.faults.length;
    const stores = new Map<string, WrittenStore>();
    const seen = new Map<string, string>();
    let anchors = 0;
    for (const [name, entry] of source.entries) {
      if (name === QUORUM) continue;
      anchors += 1;
      const inner = [...path, name];
      owner.read({ kind: 'scalar', at: entry.keyAt, value: name, text: name }, inner, reading);
      const found = store.read(entry.value, inner, reading);
      if (found === undefined) continue;
      const other = seen.get(storeKey(found));
      if (other !== undefined) report(reading, entry.value.at, inner, twice(other));
      seen.set(storeKey(found), name);
      stores.set(name, found);
    }
    if (anchors === 0) {
      report(reading, source.at, path, {
        code: 'policy/out-of-range',
        message: 'no party has an anchor here',
        hint: 'name the store of one party at least, or write `anchors: none`',
      });
    }
    const asked = source.entries.get(QUORUM);
    const quorum = asked === undefined ? anchors : quorumShape.read(asked.value, [...path, QUORUM], reading);
    const wrong = quorum === undefined || anchors === 0 ? undefined : quorumObjection(quorum, anchors);
    if (asked !== undefined && wrong !== undefined) report(reading, asked.value.at, [...path, QUORUM], wrong);
    return quorum === undefined || reading.faults.length > before ? undefined : { stores, quorum };
  },
};

/** As the parties write them. */
export const anchors: Shape<'none' | WrittenAnchors> = scalarOr<'none', WrittenAnchors>(
  NONE,
  written,
  'Where spent calls are written down: `none`, or stores of the parties, where no entry can be changed.',
);

/** In the order of the state, each bucket with its Region. */
export function completeAnchors(
  { stores, quorum }: WrittenAnchors,
  order: readonly string[],
  regionOf: (party: string) => string,
): AnchorSet {
  const inOrder = order.flatMap((name): AnchorStore[] => {
    const found = stores.get(name);
    if (found === undefined) return [];
    if ('folder' in found) return [{ owner: name, folder: found.folder }];
    return [{ owner: name, s3: { ...found.s3, region: found.region ?? regionOf(name) } }];
  });
  return { stores: inOrder, quorum };
}
