/** Every length that comes from outside is compared with one of these before anything is allocated for it. */
const KiB = 1024;
const MiB = 1024 * KiB;

export const LIMITS = {
  /** CBOR body of one frame: one chunk of input (256 KiB) plus its sealing and map keys, with room to spare. */
  frameBytes: 320 * KiB,
  /** Input bytes in one chunk of a streamed request or contribution. */
  chunkBytes: 256 * KiB,
  /** An attestation document as AWS publishes its limits (payload 16 KiB + COSE). */
  attestationBytes: 20 * KiB,
  /** Largest input any policy may allow. */
  inputBytes: 64 * MiB,
  /** Largest contribution (an encrypted model with its manifest). */
  contributionBytes: 512 * MiB,
  /** Largest padded answer any policy may ask for; it must fit one frame. */
  padToBytes: 256 * KiB,
  /** A canonical policy, as one environment string of the kernel's 128 KiB limit. */
  policyBytes: 128 * KiB - 64,
  /** A session's life by the NSM's clock. */
  sessionMs: 60 * 60 * 1000,
  /** Open connections the gate holds at once. */
  connections: 256,
  /** Time a connection may take from accept to authenticated. */
  handshakeMs: 30_000,
} as const;
