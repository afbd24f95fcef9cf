/**
 * From what the host hands back to the content of the version that the anchors name. Whatever else the host has is
 * refused, and named by what it is, as far as that can be told: an old record is not served, and not mistaken for a
 * broken one.
 */
import { createHash } from 'node:crypto';
import { constantTimeEqual } from '../crypto/digest.ts';
import type { RecordPlace } from './record.ts';
import { openChunks } from './record.ts';
import type { RecordHeader, RecordSetting } from './record-header.ts';
import { readRecord } from './record-header.ts';
import type { StateCode } from './state-failure.ts';
import { stateFailure } from './state-failure.ts';

/** `claimed`: SHA-256 of the record of this version, as it stands in the anchors. Throws `Failure<StateCode>`. */
export async function openRecord(
  setting: RecordSetting,
  place: RecordPlace,
  claimed: Uint8Array,
  stateKey: Uint8Array,
  bytes: Uint8Array | undefined,
): Promise<Uint8Array> {
  const fail = (code: StateCode, what: string): Error => stateFailure(code, `${place.name}: ${what}`, place.name);
  if (bytes === undefined) throw fail('state/record-missing', `the host does not have version ${place.version}`);
  const read = readRecord(bytes);
  if (read === undefined) throw fail('state/record-changed', 'what the host has is no record');
  const { header, head, chunks } = read;
  if (!isOf(setting, header)) {
    throw fail('state/record-foreign', 'the record is of another collaboration, policy or set of keys');
  }
  if (header.name !== place.name) throw fail('state/record-swapped', 'what the host has is another record');
  if (header.version < place.version) {
    throw fail('state/record-older', `version ${header.version} was handed over; the newest is ${place.version}`);
  }
  const opened = await openChunks(stateKey, header, head, chunks);
  switch (opened.found) {
    case 'truncated':
      throw fail('state/record-truncated', 'the record was cut');
    case 'reordered':
      throw fail('state/record-reordered', 'parts of the record stand in another order');
    case 'changed':
      throw fail('state/record-changed', 'the record was changed');
    case 'content': {
      const digest = createHash('sha256').update(bytes).digest();
      if (!constantTimeEqual(digest, claimed) || header.version !== place.version) {
        throw fail('state/record-substituted', 'the record was written for this version and never claimed');
      }
      return opened.content;
    }
  }
}

function isOf(setting: RecordSetting, header: RecordHeader): boolean {
  return (
    header.collaboration === setting.collaboration &&
    header.policyDigest === setting.policyDigest &&
    constantTimeEqual(header.keysDigest, setting.keysDigest)
  );
}
