/**
 * The Enclave Image Format, as published by AWS (aws-nitro-enclaves-image-format, specification of 2024-06-21).
 * All integers are big-endian.
 *
 *     struct {
 *       uint8  magic[4];             // ".eif"
 *       uint16 version;              // 4 when written here; 2 and 3 are read too
 *       uint16 flags;                // bit 0: aarch64 instead of x86_64
 *       uint64 default_memory;       // bytes; unused by the hypervisor
 *       uint64 default_cpus;         // unused by the hypervisor
 *       uint16 reserved;
 *       uint16 section_count;        // 2..32
 *       uint64 offsets[32];          // of the section *headers*
 *       uint64 sizes[32];            // of the contents, without the section headers
 *       uint32 reserved2;
 *       uint32 crc32;                // CRC-32 (ISO-HDLC) of the whole file but these four bytes
 *     } Header;                      // 548 bytes
 *
 *     struct { uint16 type; uint16 flags; uint64 size; } SectionHeader;   // 12 bytes, then `size` bytes
 *
 * Sections follow each other without a gap, and nothing follows the last one. Versions 2 and 3 are version 4 without the
 * metadata section, and version 2 also without the signature section.
 */
export const MAGIC: Uint8Array = Uint8Array.of(0x2e, 0x65, 0x69, 0x66);
export const HEADER_BYTES = 548;
export const SECTION_HEADER_BYTES = 12;
export const MAX_SECTIONS = 32;
export const MIN_SECTIONS = 2;
export const CRC_OFFSET = 0x220;
export const OFFSETS_AT = 0x1c;
export const SIZES_AT = 0x11c;
export const WRITTEN_VERSION = 4;
export const FLAG_AARCH64 = 1;

export const SECTION_KINDS = ['kernel', 'cmdline', 'ramdisk', 'signature', 'metadata'] as const;
export type SectionKind = (typeof SECTION_KINDS)[number];

export interface SectionRules {
  /** Number on the wire. */
  readonly type: number;
  /** Largest content, in bytes. */
  readonly maxBytes: number;
  /** First version of the format that has this kind. */
  readonly since: number;
}

const MiB = 1024 * 1024;

/**
 * 2 KiB is the kernel's own COMMAND_LINE_SIZE; 32 KiB of signature is the published SIGNATURE_MAX_SIZE. The rest is far
 * above any real image and bounds what a hostile one can make us do.
 */
export const SECTION_RULES: Readonly<Record<SectionKind, SectionRules>> = {
  kernel: { type: 1, maxBytes: 256 * MiB, since: 2 },
  cmdline: { type: 2, maxBytes: 2048, since: 2 },
  ramdisk: { type: 3, maxBytes: 4096 * MiB, since: 2 },
  signature: { type: 4, maxBytes: 32_768, since: 3 },
  metadata: { type: 5, maxBytes: MiB, since: 4 },
};

/** 8 GiB: above it nothing is looked at. */
export const MAX_FILE_BYTES: number = 8192 * MiB;

export type EifCode =
  | 'eif/truncated' // the file ends inside a header or a section
  | 'eif/magic' // not an EIF at all
  | 'eif/version'
  | 'eif/flags' // a bit that the format does not define
  | 'eif/section-count'
  | 'eif/section-offset' // overlapping, out of order, out of the file, or with a gap
  | 'eif/section-size' // header and section header disagree
  | 'eif/section-type'
  | 'eif/section-order' // what is measured would depend on who reads it
  | 'eif/section-missing'
  | 'eif/section-duplicate'
  | 'eif/unused-entry' // an entry of the tables beyond the section count is not zero
  | 'eif/oversize'
  | 'eif/trailing-bytes'
  | 'eif/crc-mismatch'
  | 'eif/signature';

export interface EifHeader {
  readonly version: number;
  readonly architecture: 'x86_64' | 'aarch64';
  readonly defaultMemory: bigint;
  readonly defaultCpus: bigint;
  readonly crc32: number;
}

export interface SectionEntry {
  readonly kind: SectionKind;
  /** Of the section header, in bytes from the start of the file. */
  readonly offset: number;
  /** Of the content, without the section header. */
  readonly bytes: number;
}
