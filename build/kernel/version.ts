/**
 * The version that a bzImage names, from its setup header (Documentation/arch/x86/boot.rst):
 *
 *     u8  setup_sects       at 0x1f1
 *     u32 magic             at 0x202: "HdrS"
 *     u16 kernel_version    at 0x20e: offset, less 0x200, of a text that ends with a zero
 */
const MAGIC = { at: 0x202, text: 'HdrS' } as const;
const HEADER_END = 0x210;
const LONGEST = 512;

/** Whether a file that begins so is a kernel for x86. */
export function isKernel(head: Uint8Array): boolean {
  const { at, text } = MAGIC;
  return Buffer.from(head.subarray(at, at + text.length)).toString('latin1') === text;
}

/** `6.12.107`, or undefined where these are not the bytes of an x86 kernel. */
export function kernelVersion(bzImage: Uint8Array): string | undefined {
  if (bzImage.length < HEADER_END || !isKernel(bzImage)) return undefined;
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.length);
  const at = view.getUint16(0x20e, true) + 0x200;
  const text = new TextDecoder('latin1').decode(bzImage.subarray(at, at + LONGEST));
  return /^([0-9]+\.[0-9]+[^\s\0]*)/.exec(text)?.[1];
}
