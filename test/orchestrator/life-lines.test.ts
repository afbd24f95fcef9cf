import { describe, expect, it } from 'vitest';
import type { LifeLine } from '../../enclave/life.ts';
import { missingConfinement, sealedState } from '../../orchestrator/life-lines.ts';

const said = (...lines: readonly LifeLine[]): ReturnType<typeof sealedState> =>
  sealedState(['booting', ...lines.map((line) => JSON.stringify(line)), '{"accord":']);

describe('what an enclave last said of its sealed state', () => {
  const serving: LifeLine = {
    accord: 'serving',
    port: 5000,
    confinement: { user: true, namespaces: true, seccomp: true, limits: true, cgroup: false },
  };
  const opened: LifeLine = { accord: 'opened', state: 'restored' };

  it.each<[string, readonly LifeLine[], ReturnType<typeof sealedState>]>([
    ['waiting, before it said anything', [serving], { state: 'waiting', parties: [] }],
    ['open', [serving, opened], { state: 'open', parties: [] }],
    [
      'refused, with code and place',
      [serving, { accord: 'unopened', code: 'state/record-older', where: 'function.count' }],
      { state: 'refused', parties: [], reason: 'state/record-older (function.count)' },
    ],
    ['lapsed, and for whom', [opened, { accord: 'lapsed', parties: ['bob'] }], { state: 'lapsed', parties: ['bob'] }],
    ['open again', [opened, { accord: 'lapsed', parties: ['bob'] }, opened], { state: 'open', parties: [] }],
    [
      'withdrawn, also after it has stopped',
      [opened, { accord: 'withdrawn', party: 'bob' }, { accord: 'stopped', reason: 'lease/withdrawn', code: 10 }],
      { state: 'withdrawn', parties: ['bob'] },
    ],
  ])('is %s', (_, lines, expected) => {
    expect(said(...lines)).toEqual(expected);
  });
});

it('names what does not hold its jails, and nothing where all of it does', () => {
  const serving = (user: boolean): string =>
    JSON.stringify({
      accord: 'serving',
      port: 5000,
      confinement: { user, namespaces: true, seccomp: true, limits: true, cgroup: false },
    } satisfies LifeLine);
  expect(missingConfinement(['booting', serving(true)])).toEqual([]);
  expect(missingConfinement(['booting', serving(false), '{"accord":'])).toEqual([
    expect.stringMatching(/run as the enclave's own user/),
  ]);
  expect(missingConfinement(['booting'])).toEqual([]);
});
