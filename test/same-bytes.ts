/** Equality of long byte strings, which vitest's own comparison takes seconds for. */
import { expect } from 'vitest';

export function expectSameBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  expect(actual?.length).toBe(expected.length);
  expect(actual !== undefined && Buffer.compare(actual, expected) === 0, 'the bytes differ').toBe(true);
}
