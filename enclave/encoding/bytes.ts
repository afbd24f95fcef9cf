/** Byte strings in pieces, and put together. */

/** The parts in one fresh array: nothing of the caller's is referred to afterwards. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(totalBytes(parts));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function totalBytes(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** The first so many bytes of what the parts hold, as views into them, none of them empty. */
export function firstBytes(parts: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  return parts.flatMap((part) => {
    const taken = part.subarray(0, left);
    left -= taken.length;
    return taken.length > 0 ? [taken] : [];
  });
}
