/** What stands before a sealed record: see `record.ts`. In the clear, and bound into every chunk. */
import type { PolicyDigest } from '../../policies/model.ts';
import { concat } from '../encoding/bytes.ts';
import type { CborValue } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import { fromHex, toHex } from '../encoding/hex.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { StateCode } from './state-failure.ts';

/** Whose state a record belongs to. */
export interface RecordSetting {
  readonly collaboration: string;
  readonly policyDigest: PolicyDigest;
  /** SHA-256 of the set of wrapped keys that is claimed. */
  readonly keysDigest: Uint8Array;
}

export interface RecordHeader {
  readonly collaboration: string;
  /** Lower-case hex. */
  readonly policyDigest: string;
  readonly keysDigest: Uint8Array;
  readonly name: string;
  readonly version: number;
  readonly salt: Uint8Array;
  /** Of the content. */
  readonly bytes: number;
}

export const RECORD_HEADER = { saltBytes: 32, headBytes: 4_096 } as const;

const MAGIC = new TextEncoder().encode('ACR1');
const PREFIX_BYTES = MAGIC.length + 4;

/** Magic, length and header. */
export function encodeRecordHead(header: RecordHeader): Uint8Array {
  const body = encodeCbor(
    new Map<string, CborValue>([
      ['v', 1],
      ['collaboration', header.collaboration],
      ['policy', fromHex(header.policyDigest)],
      ['keys', header.keysDigest],
      ['name', header.name],
      ['version', header.version],
      ['salt', header.salt],
      ['bytes', header.bytes],
    ]),
  );
  if (body.length + PREFIX_BYTES > RECORD_HEADER.headBytes) throw new RangeError(`a header of ${body.length} bytes`);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, body.length);
  return concat(MAGIC, length, body);
}

export interface ReadRecord {
  readonly header: RecordHeader;
  readonly head: Uint8Array;
  readonly chunks: Uint8Array;
}

/** Undefined where the bytes do not begin with a header. Says nothing about whether it is authentic. */
export function readRecord(bytes: Uint8Array): ReadRecord | undefined {
  if (bytes.length < PREFIX_BYTES || MAGIC.some((byte, i) => byte !== bytes[i])) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(MAGIC.length);
  const end = PREFIX_BYTES + length;
  if (length === 0 || end > RECORD_HEADER.headBytes || end > bytes.length) return undefined;
  try {
    return {
      header: decode(bytes.subarray(PREFIX_BYTES, end)),
      head: bytes.subarray(0, end),
      chunks: bytes.subarray(end),
    };
  } catch {
    return undefined;
  }
}

function decode(body: Uint8Array): RecordHeader {
  const limits = { maxBytes: RECORD_HEADER.headBytes, maxDepth: 1, maxItems: 20 };
  const map = mapReader<StateCode>(decodeCbor(body, limits), 'state/record-changed', 'header');
  map.uint('v', { min: 1, max: 1 });
  const header = {
    collaboration: map.text('collaboration', { max: 256 }),
    policyDigest: toHex(map.bytes('policy', { exact: 48 })),
    keysDigest: map.bytes('keys', { exact: 32 }),
    name: map.text('name', { min: 1, max: 256 }),
    version: map.uint('version', { max: 0xffff_ffff }),
    salt: map.bytes('salt', { exact: RECORD_HEADER.saltBytes }),
    bytes: map.uint('bytes', { max: LIMITS.recordBytes }),
  };
  map.done();
  return header;
}
