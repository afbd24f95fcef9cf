/** The kernel that was compiled has every option that was asked for and none of those that the README calls off. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfig, readFragment, unmetOptions } from '../../../build/kernel/config.ts';
import { kernelVersion } from '../../../build/kernel/version.ts';
import { keptKernel } from '../init/kept.ts';
import { optionsOff } from './readme.ts';

const kept = await keptKernel();
if (typeof kept === 'string') console.log(`skipped, the compiled kernel: ${kept}`);

describe.skipIf(typeof kept === 'string')('the compiled kernel', () => {
  const { bzImage, config } = typeof kept === 'string' ? { bzImage: new Uint8Array(), config: '' } : kept;

  it('took every option', () => {
    expect(unmetOptions(readFragment(), config)).toEqual([]);
  });

  it('has nothing on that the README calls off', () => {
    const made = parseConfig(config);
    expect(optionsOff().filter((name) => made.has(name))).toEqual([]);
  });

  it('has the size that the README prints, and the version of the lock', () => {
    const readme = readFileSync(join(import.meta.dirname, '../../../build/kernel/README.md'), 'utf8');
    const bytes = Number(/bzImage[^.]*?([\d,]+) bytes/.exec(readme)?.[1]?.replaceAll(',', ''));
    expect(bytes).toBe(bzImage.length);
    expect(kernelVersion(bzImage)).toMatch(/^6\.12\.\d+$/);
  });
});
