/** Debian's versions and dependencies, as `renew.mjs` reads them. */
import { assert, property, stringMatching } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareVersions, parseIndex, resolveClosure } from '../../../build/inputs/closure.mjs';

describe('versions', () => {
  // Debian Policy §5.6.12, and pairs as they stand in the archive.
  const ascending = [
    ['1.0~~', '1.0~~a', '1.0~', '1.0', '1.0a', '1.0+', '1.0.1', '1.1', '1.9', '1.10', '1:0.1'],
    ['6.12.94-1', '6.12.107-1'],
    ['2.41-12', '2.41-12+deb13u4', '2.41-13'],
    ['1.2.5-3', '1.2.5-3.1~deb13u1', '1.2.5-3.1'],
    ['3.5.7-1~deb13u2', '3.5.7-1', '3.5.7-1+b1'],
    ['1.0-1-1', '1.0-1-2', '1.0-2-1'],
  ];
  test.each(ascending)('%s < %s …', (...versions) => {
    for (const [i, a] of versions.entries()) {
      for (const [j, b] of versions.entries()) {
        expect(Math.sign(compareVersions(a, b)), `${a} ${b}`).toBe(Math.sign(i - j));
      }
    }
  });

  test('leading zeros and absent revisions do not count', () => {
    expect(compareVersions('1.01', '1.1')).toBe(0);
    expect(compareVersions('0:1.0', '1.0-0')).toBe(0);
  });

  test('the order is one: antisymmetric and transitive', () => {
    const version = stringMatching(/^([0-9]:)?[0-9][a-z0-9.+~]{0,6}(-[a-z0-9.+~]{1,3})?$/);
    assert(
      property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b))).toBe(0 - Math.sign(compareVersions(b, a)));
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
        }
      }),
    );
  });
});

describe('what packages need', () => {
  const INDEX = parseIndex(`Package: gcc
Version: 14-1
Depends: libc6 (>= 2.38), gcc-base (= 14-1), awk, absent | make:any
Description: a compiler
 of many lines
 Package: not-a-package

Package: gcc-base
Version: 14-1

Package: libc6
Version: 2.36
Depends: old

Package: libc6
Version: 2.41
Pre-Depends: debconf

Package: make
Version: 4

Package: mawk
Version: 1
Provides: awk

Package: gawk
Version: 2
Provides: awk (= 2)
`);
  const options = { notNeeded: new Set(['debconf']), preferred: new Map([['awk', 'mawk']]) };
  const names = (roots: readonly string[], given = options): readonly string[] =>
    resolveClosure(INDEX, roots, given).map(({ Package, Version }) => `${Package} ${Version}`);

  test('all of it, newest, sorted, with the preferred provider and without what is not needed', () => {
    expect(names(['gcc'])).toEqual(['gcc 14-1', 'gcc-base 14-1', 'libc6 2.41', 'make 4', 'mawk 1']);
    expect(INDEX.get('gcc')?.[0]?.['Description']).toBe('a compiler\n of many lines\n Package: not-a-package');
  });

  test('several providers and no preference, or nothing at all, is told', () => {
    expect(() => names(['gcc'], { ...options, preferred: new Map() })).toThrow('gcc needs awk');
    expect(() => names(['libc6'], { ...options, notNeeded: new Set() })).toThrow('libc6 needs debconf');
    expect(() => names(['absent'])).toThrow('the toolchain needs absent');
  });

  test('a version that does not fit is told', () => {
    const index = parseIndex('Package: a\nVersion: 1\nDepends: b (>= 2)\n\nPackage: b\nVersion: 2~rc1\n');
    expect(() => resolveClosure(index, ['a'], options)).toThrow('a needs b');
  });
});
