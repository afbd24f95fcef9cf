import { BOUNDS } from '../bounds.ts';
import type { AnchorSet, AnchorStore, FolderAnchorStore, S3AnchorStore } from '../model.ts';
import { sequence } from '../reading/collections.ts';
import { object, required } from '../reading/object.ts';
import { text } from '../reading/scalars.ts';
import { refineAll, scalarOr, type PartObjection, type Shape } from '../reading/shape.ts';
import { folder, NONE, owner, quorumObjection, quorumShape, region, storeKey, twice } from './anchors.ts';
import { BUCKET_PATTERN, bucketObjection, PREFIX_PATTERN, prefixObjection } from './bucket.ts';

const canonicalS3 = object<S3AnchorStore>(
  {
    owner: required(owner),
    s3: required(
      object<S3AnchorStore['s3']>(
        {
          bucket: required(
            text({
              description: 'Its name.',
              wanted: 'a bucket',
              pattern: BUCKET_PATTERN,
              maxLength: 63,
              check: bucketObjection,
            }),
          ),
          prefix: required(
            text({
              description: 'Empty, or ends with a slash.',
              wanted: 'a prefix',
              pattern: PREFIX_PATTERN,
              maxLength: BOUNDS.prefixCharacters,
              check: prefixObjection,
            }),
          ),
          region: required(region),
        },
        { description: 'A bucket.', wanted: 'a bucket' },
      ),
    ),
  },
  { description: "One party's store.", wanted: 'a store' },
);
const canonicalFolder = object<FolderAnchorStore>(
  { owner: required(owner), folder: required(folder) },
  { description: "One party's store.", wanted: 'a store' },
);
const canonicalStore: Shape<AnchorStore> = {
  schema: { oneOf: [canonicalS3.schema, canonicalFolder.schema] },
  read: (source, path, reading) =>
    source.kind === 'map' && source.entries.has('folder')
      ? canonicalFolder.read(source, path, reading)
      : canonicalS3.read(source, path, reading),
};

const canonicalSet: Shape<AnchorSet> = refineAll(
  object<AnchorSet>(
    {
      stores: required(
        sequence({
          description: 'In the order of the state.',
          wanted: 'stores',
          item: canonicalStore,
          min: 1,
          max: BOUNDS.parties,
        }),
      ),
      quorum: required(quorumShape),
    },
    { description: 'Where spent calls are written down.', wanted: '{ stores, quorum }' },
  ),
  ({ stores, quorum }) => {
    const found: PartObjection[] = [];
    const wrong = quorumObjection(quorum, stores.length);
    if (wrong !== undefined) found.push({ ...wrong, at: ['quorum'] });
    const keys = new Set(stores.map(storeKey));
    if (keys.size < stores.length) found.push({ ...twice('another party'), at: ['stores'] });
    return found;
  },
);

/** As the image carries them. */
export const canonicalAnchors: Shape<'none' | AnchorSet> = scalarOr(
  NONE,
  canonicalSet,
  'Where spent calls are written down.',
);
