/** What an enclave demands of what holds its jails, before it serves anybody. */
import { describe, expect, test } from 'vitest';
import type { Confinement } from '../../../enclave/jail/confinement.ts';
import { demandConfinement, unconfined } from '../../../enclave/jail/confinement.ts';
import { Failure } from '../../../policies/failure.ts';

const ALL: Confinement = { user: true, namespaces: true, seccomp: true, limits: true, cgroup: true };
const codeOf = (held: Confinement, ours: boolean): string => {
  try {
    return demandConfinement(held, ours) === held ? 'served' : 'another';
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
};

describe('jails that are held', () => {
  test('by everything serve, whatever the kernel', () => {
    expect([codeOf(ALL, true), codeOf(ALL, false)]).toEqual(['served', 'served']);
    expect(unconfined(ALL)).toEqual([]);
  });

  test.each([
    ['seccomp', 'jail/not-confined'],
    ['user', 'jail/not-confined'],
    ['limits', 'jail/not-confined'],
    ['namespaces', 'served'],
    ['cgroup', 'served'],
  ] as const)("by all but %s: refused on Accord's own kernel, %s on another", (kind, elsewhere) => {
    const held = { ...ALL, [kind]: false };
    expect([codeOf(held, true), codeOf(held, false)]).toEqual(['jail/not-confined', elsewhere]);
  });
});
