/** Why a record was not read: a number from the reader and a place, put into words by the gate. */

export const RECORD_REFUSALS = {
  notText: 1,
  notJson: 2,
  duplicate: 3,
  shape: 4,
  unknown: 5,
  missing: 6,
  notNumber: 7,
  tooLarge: 8,
  tooDeep: 9,
} as const;

export type RecordRefusal = keyof typeof RECORD_REFUSALS;

/**
 * The caller's explanation; undefined where no honest reader says so. `place` is a byte of the input (`notJson`,
 * `duplicate`, `tooDeep`), the position of a member (`unknown`, from 1), or the index of a feature.
 */
export function explainRecord(reason: number, place: number, features: readonly string[]): string | undefined {
  const found = Object.entries(RECORD_REFUSALS).find(([, number]) => number === reason);
  if (found === undefined) return undefined;
  const feature = features[place];
  const words: Readonly<Record<string, string | undefined>> = {
    notText: 'the record is not UTF-8 text',
    notJson: `the record is not JSON: what stands at byte ${place} does not belong there`,
    duplicate: `the record is not taken: the name that ends at byte ${place} stands twice`,
    shape: 'a record is {"features": {"name": number, ...}} and nothing else',
    unknown: `the model has no feature by the name of the record's feature ${place}`,
    missing: feature && `the record lacks the feature ${quoted(feature)}`,
    notNumber: feature && `the feature ${quoted(feature)} is neither a number nor true or false`,
    tooLarge: feature && `the feature ${quoted(feature)} is beyond what a float32 holds`,
    tooDeep: 'a record is {"features": {"name": number, ...}}: nothing is nested deeper',
  } satisfies Record<RecordRefusal, string | undefined>;
  return words[found[0]];
}

const quoted = (name: string): string => JSON.stringify(name);
