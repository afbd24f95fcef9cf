/**
 * What is kept of a contribution that was taken, so that a restart takes it again without its owner: the record
 * `contribution.<function>` of the sealed state. Its newest version counts, so an older contribution never comes back.
 *
 *     { v: 1, envelopeSha256: bytes[32], bytes: uint, dataKey: bytes[32], modelSha256: bytes[32], testData: bool }
 */
import { Failure } from '../policies/failure.ts';
import { decodeCbor, encodeCbor, mapReader } from './encoding/cbor.ts';
import { fromHex, toHex } from './encoding/hex.ts';

export type KeptContributionCode = 'contribution/record-malformed';

export interface KeptContribution {
  /** Of all that the host keeps. */
  readonly envelopeSha256: Uint8Array;
  readonly bytes: number;
  /** Opens that envelope and nothing else. 32 bytes. */
  readonly dataKey: Uint8Array;
  /** Lower-case hex. */
  readonly modelSha256: string;
  readonly testData: boolean;
}

const MAX_BYTES = 512;

export function encodeKept(kept: KeptContribution): Uint8Array {
  const { envelopeSha256, bytes, dataKey, modelSha256, testData } = kept;
  const entries = { v: 1, envelopeSha256, bytes, dataKey, modelSha256: fromHex(modelSha256), testData };
  return encodeCbor(new Map(Object.entries(entries)));
}

/** Throws `contribution/record-malformed`: only this program writes it, so that is a fault of ours. */
export function decodeKept(record: Uint8Array): KeptContribution {
  try {
    const map = mapReader<KeptContributionCode>(
      decodeCbor(record, { maxBytes: MAX_BYTES }),
      'contribution/record-malformed',
      'contribution',
    );
    map.uint('v', { min: 1, max: 1 });
    const kept = {
      envelopeSha256: map.bytes('envelopeSha256', { exact: 32 }),
      bytes: map.uint('bytes'),
      dataKey: map.bytes('dataKey', { exact: 32 }),
      modelSha256: toHex(map.bytes('modelSha256', { exact: 32 })),
      testData: map.boolean('testData'),
    };
    map.done();
    return kept;
  } catch (cause) {
    if (!(cause instanceof Failure)) throw cause;
    throw new Failure<KeptContributionCode>('malformed', 'contribution/record-malformed', 'a record of a contribution is none', { cause }); // prettier-ignore
  }
}
