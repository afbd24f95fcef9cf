/**
 * Which shared libraries a program asks its machine for. The local image carries Node's program but not the machine's
 * libraries, and has to say so by name.
 */
import { closeSync, openSync, readSync } from 'node:fs';

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DT_STRSZ = 10n;

/** Sorted names (`libc.so.6`); empty for a static program and for what is no 64-bit little-endian ELF file. */
export function neededLibraries(path: string): readonly string[] {
  const file = openSync(path, 'r');
  const read = (offset: bigint, bytes: bigint): DataView => {
    const buffer = new Uint8Array(Number(bytes));
    return new DataView(buffer.buffer, 0, readSync(file, buffer, 0, buffer.length, Number(offset)));
  };
  try {
    const header = read(0n, 64n);
    // 0x7f "ELF", 64 bits, little-endian
    if (header.byteLength < 64 || header.getUint32(0) !== 0x7f454c46 || header.getUint16(4) !== 0x0201) return [];
    const size = header.getUint16(0x36, true);
    const table = read(header.getBigUint64(0x20, true), BigInt(size * header.getUint16(0x38, true)));
    const segments = Array.from({ length: Math.floor(table.byteLength / size) }, (_, i) => ({
      type: table.getUint32(i * size, true),
      offset: table.getBigUint64(i * size + 8, true),
      address: table.getBigUint64(i * size + 16, true),
      bytes: table.getBigUint64(i * size + 32, true),
    }));
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    if (dynamic === undefined) return [];
    const view = read(dynamic.offset, dynamic.bytes);
    const tags = Array.from({ length: Math.floor(view.byteLength / 16) }, (_, i) => ({
      tag: view.getBigUint64(16 * i, true),
      value: view.getBigUint64(16 * i + 8, true),
    }));
    const valueOf = (wanted: bigint): bigint => tags.find(({ tag }) => tag === wanted)?.value ?? 0n;
    const address = valueOf(DT_STRTAB);
    const home = segments.find((s) => s.type === PT_LOAD && s.address <= address && address < s.address + s.bytes);
    if (home === undefined) return [];
    const strings = read(home.offset + address - home.address, valueOf(DT_STRSZ));
    const text = Buffer.from(strings.buffer, 0, strings.byteLength).toString('latin1');
    return tags
      .filter(({ tag }) => tag === DT_NEEDED)
      .map(({ value }) => text.slice(Number(value), text.indexOf('\0', Number(value))))
      .sort();
  } finally {
    closeSync(file);
  }
}
