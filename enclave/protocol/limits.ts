import { BOUNDS } from '../../policies/bounds.ts';

type Limit =
  | 'frameBytes'
  | 'chunkBytes'
  | 'attestationBytes'
  | 'inputBytes'
  | 'contributionBytes'
  | 'padToBytes'
  | 'policyBytes'
  | 'recordBytes'
  | 'sealedRecordBytes'
  | 'keySetBytes'
  | 'sessionMs'
  | 'connections'
  | 'handshakeMs';

/** Every length that comes from outside is compared with one of these before anything is allocated for it. */
export const LIMITS: Readonly<Record<Limit, number>> = {
  /** 320 KiB. CBOR body of one frame: one chunk of input (256 KiB) plus its sealing and map keys, with room to spare. */
  frameBytes: 327_680,
  /** 256 KiB. Input bytes in one chunk of a streamed request or contribution. */
  chunkBytes: 262_144,
  /** 20 KiB. An attestation document as AWS publishes its limits (payload 16 KiB + COSE). */
  attestationBytes: 20_480,
  /** 64 MiB. Largest input any policy may allow. */
  inputBytes: BOUNDS.inputBytes,
  /** 512 MiB. Largest contribution (an encrypted model with its manifest). */
  contributionBytes: 536_870_912,
  /** 256 KiB. Largest padded answer any policy may ask for; it must fit one frame. */
  padToBytes: BOUNDS.padToMost,
  /** 128 KiB - 64. A canonical policy, as one environment string of the kernel's 128 KiB limit. */
  policyBytes: BOUNDS.canonicalBytes,
  /** 64 MiB. What one record of the enclave's state may hold. */
  recordBytes: 67_108_864,
  /** 64 MiB + 64 KiB. The same, sealed: a header of at most 4 KiB, and 16 bytes for each of 256 chunks. */
  sealedRecordBytes: 67_174_400,
  /** 512 KiB. A set of wrapped keys: 64 parties, each with a KMS ciphertext of at most 6 KiB. */
  keySetBytes: 524_288,
  /** One hour. A session's life by the NSM's clock. */
  sessionMs: 3_600_000,
  /** Open connections the gate holds at once; half of them may be parties' sessions, each party its share. */
  connections: 512,
  /** Time a connection may take from accept to its first sealed message, and again from there to authenticated. */
  handshakeMs: 30_000,
};
