/** The configuration is what its README says, and the kernel took all of it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMAND_LINE } from '../../../build/kernel/command-line.ts';
import { parseConfig, readFragment, unmetOptions } from '../../../build/kernel/config.ts';
import { optionsExplained, optionsOff } from './readme.ts';

describe('the README', () => {
  it('explains every option once, and no other', () => {
    expect([...optionsExplained()].sort()).toEqual([...parseConfig(readFragment()).keys()].sort());
  });

  it('names nothing as off that is set', () => {
    expect(optionsOff().length).toBeGreaterThan(30);
    expect(optionsOff().filter((name) => parseConfig(readFragment()).has(name))).toEqual([]);
  });

  it('gives the reason for every word of the command line', () => {
    const source = readFileSync(join(import.meta.dirname, '../../../build/kernel/command-line.ts'), 'utf8');
    const words = [...source.matchAll(/^ \* {5}(\S+) {2,}\S/gm)].map(([, word]) => word);
    expect(words).toEqual(COMMAND_LINE.split(' '));
  });
});

describe('what the kernel makes of the configuration', () => {
  const asked = 'CONFIG_NSM=y\nCONFIG_NR_CPUS=128\nCONFIG_LSM="lockdown,yama"\nCONFIG_EMPTY=""\n';

  it('is as asked', () => {
    expect(unmetOptions(asked, `${asked}CONFIG_MORE=y\n`)).toEqual([]);
  });

  it('names what is absent, off or otherwise', () => {
    const made = '# CONFIG_NSM is not set\nCONFIG_NR_CPUS=12\n';
    expect(unmetOptions(asked, made)).toEqual(['CONFIG_NSM=y', 'CONFIG_NR_CPUS=128', 'CONFIG_LSM="lockdown,yama"']);
  });

  it('takes a module for something else', () => {
    expect(unmetOptions('CONFIG_NSM=y\n', 'CONFIG_NSM=m\n')).toEqual(['CONFIG_NSM=y']);
  });
});
