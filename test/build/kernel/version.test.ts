import { describe, expect, it } from 'vitest';
import { kernelVersion } from '../../../build/kernel/version.ts';

function bzImage(version: string): Uint8Array {
  const bytes = new Uint8Array(0x1000);
  bytes.set(Buffer.from('HdrS'), 0x202);
  new DataView(bytes.buffer).setUint16(0x20e, 0x600, true);
  bytes.set(Buffer.from(`${version}\0`), 0x800);
  return bytes;
}

describe('the version of a bzImage', () => {
  it('is the first word of what the kernel calls itself', () => {
    expect(kernelVersion(bzImage('6.12.107 (accord@enclave) #1 SMP'))).toBe('6.12.107');
    expect(kernelVersion(bzImage('4.14.246-198.474.amzn2.x86_64 (mockbuild@ip) #1'))).toBe(
      '4.14.246-198.474.amzn2.x86_64',
    );
  });

  it('is unknown where there is no kernel', () => {
    expect(kernelVersion(new Uint8Array())).toBeUndefined();
    expect(kernelVersion(bzImage('6.12').fill(0, 0x202, 0x206))).toBeUndefined();
    expect(kernelVersion(bzImage('not a version'))).toBeUndefined();
  });

  it('is unknown where the header points outside', () => {
    const bytes = bzImage('6.12.1');
    new DataView(bytes.buffer).setUint16(0x20e, 0xffff, true);
    expect(kernelVersion(bytes)).toBeUndefined();
  });
});
