/** The checksums that S3 takes beside MD5: `x-amz-checksum-NAME`, base64, big-endian. */
import { createHash } from 'node:crypto';

export const CHECKSUMS: Readonly<Record<string, (bytes: Uint8Array) => Buffer>> = {
  CRC32: (bytes) => uint32(crc32(bytes, CRC32_TABLE)),
  CRC32C: (bytes) => uint32(crc32(bytes, CRC32C_TABLE)),
  CRC64NVME: (bytes) => crc64(bytes),
  SHA1: (bytes) => createHash('sha1').update(bytes).digest(),
  SHA256: (bytes) => createHash('sha256').update(bytes).digest(),
};

/** Reflected polynomials: ISO-HDLC, Castagnoli, NVMe. */
const CRC32_TABLE = table32(0xedb88320);
const CRC32C_TABLE = table32(0x82f63b78);
const CRC64_TABLE = table64(0x9a6c9329ac4bc9b5n);

function table32(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1;
    return rest >>> 0;
  });
}

function table64(polynomial: bigint): BigUint64Array {
  return BigUint64Array.from({ length: 256 }, (_, byte) => {
    let rest = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) rest = rest & 1n ? (rest >> 1n) ^ polynomial : rest >> 1n;
    return rest;
  });
}

function crc32(bytes: Uint8Array, table: Uint32Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = (table[(rest ^ byte) & 0xff] ?? 0) ^ (rest >>> 8);
  return (rest ^ 0xffffffff) >>> 0;
}

function crc64(bytes: Uint8Array): Buffer {
  let rest = 0xffffffffffffffffn;
  for (const byte of bytes) rest = (CRC64_TABLE[Number(rest & 0xffn) ^ byte] ?? 0n) ^ (rest >> 8n);
  const result = Buffer.alloc(8);
  result.writeBigUInt64BE(rest ^ 0xffffffffffffffffn);
  return result;
}

function uint32(value: number): Buffer {
  const result = Buffer.alloc(4);
  result.writeUInt32BE(value);
  return result;
}
