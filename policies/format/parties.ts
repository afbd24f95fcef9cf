import { inspectKmsKeyArn, KMS_KEY_ARN_PATTERN, REGION_PATTERN } from '../arn.ts';
import { BOUNDS } from '../bounds.ts';
import type { CanonicalParty, CanonicalPolicy, Party, Policy, Role } from '../model.ts';
import { record } from '../reading/collections.ts';
import { object, required } from '../reading/object.ts';
import { choice, text } from '../reading/scalars.ts';
import { report, type Objection, type Reading, type Shape } from '../reading/shape.ts';
import type { Path, SourceMap } from '../reading/source.ts';
import { name, sha256 } from './names.ts';

const role: Shape<Role> = choice(
  'What the party brings: data, a model, or the running of it all. Permissions come from the functions alone.',
  'a role',
  ['data-owner', 'model-owner', 'coordinator'],
);

const kmsKeyArn: Shape<string> = text({
  description:
    "Full ARN of the party's own symmetric, single-Region KMS key. No alias (it can be pointed elsewhere) and no " +
    'multi-Region key (its replicas have policies of their own).',
  wanted: 'the full ARN of a KMS key',
  pattern: KMS_KEY_ARN_PATTERN,
  maxLength: 256,
  code: 'policy/bad-arn',
  check(arn): Objection | undefined {
    const result = inspectKmsKeyArn(arn);
    return 'keyId' in result ? undefined : result;
  },
});

/** In `anchors`, names of parties and this key stand side by side. */
const RESERVED = 'quorum';

function refuseReserved(source: SourceMap, path: Path, reading: Reading): void {
  const entry = source.entries.get(RESERVED);
  if (entry === undefined) return;
  report(reading, entry.keyAt, [...path, RESERVED], {
    code: 'policy/bad-name',
    message: `no party can be called ${RESERVED}: among the anchors it would read as their quorum`,
    hint: 'give the party another name',
  });
}

const LATER_PARTY_KEYS = { auth: 'a further way to authenticate' };

const party: Shape<Party> = object<Party>(
  { role: required(role), kmsKeyArn: required(kmsKeyArn) },
  {
    description: 'One party.',
    wanted: 'a party, like { role: data-owner, kmsKeyArn: "arn:…" }',
    unsupported: LATER_PARTY_KEYS,
  },
);

/** As the parties write them. */
export const parties: Shape<Policy['parties']> = record<Party>({
  description: 'Who takes part, by name.',
  wanted: 'parties by name',
  key: name("A party's name.", "a party's name"),
  value: party,
  min: 1,
  max: BOUNDS.parties,
  check(entries, source, path, reading) {
    refuseReserved(source, path, reading);
    const owners = new Map<string, string>();
    for (const [owner, { kmsKeyArn: arn }] of entries) {
      const other = owners.get(arn);
      if (other === undefined) {
        owners.set(arn, owner);
        continue;
      }
      // Whoever holds one key is one party: with a shared key, either could authenticate as the other.
      report(reading, source.entries.get(owner)?.value.at ?? source.at, [...path, owner, 'kmsKeyArn'], {
        code: 'policy/duplicate-arn',
        message: `this is also the key of ${other}`,
        hint: 'each party names a key of its own',
      });
    }
  },
});

const canonicalParty: Shape<CanonicalParty> = object<CanonicalParty>(
  {
    role: required(role),
    kmsKey: required(
      object<CanonicalParty['kmsKey']>(
        {
          region: required(
            text({
              description: 'Region of the key.',
              wanted: 'an AWS Region',
              pattern: REGION_PATTERN,
              maxLength: 32,
            }),
          ),
          arnHash: required(sha256('SHA-256("accord/v1/kms-key-arn" || 0x00 || ARN).')),
        },
        { description: "The party's KMS key, without its ARN.", wanted: 'a key' },
      ),
    ),
  },
  { description: 'One party.', wanted: 'a party' },
);

/** As the image carries them. */
export const canonicalParties: Shape<CanonicalPolicy['parties']> = record<CanonicalParty>({
  description: 'Who takes part, by name.',
  wanted: 'parties by name',
  key: name("A party's name.", "a party's name"),
  value: canonicalParty,
  min: 1,
  max: BOUNDS.parties,
  check(entries, source, path, reading) {
    refuseReserved(source, path, reading);
    const hashes = Array.from(entries.values(), ({ kmsKey }) => kmsKey.arnHash);
    if (new Set(hashes).size < hashes.length) {
      report(reading, source.at, path, { code: 'policy/duplicate-arn', message: 'two parties have the same key' });
    }
  },
});
