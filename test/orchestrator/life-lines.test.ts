import { describe, expect, it } from 'vitest';
import type { LifeLine } from '../../enclave/life.ts';
import { sealedState } from '../../orchestrator/life-lines.ts';

const said = (...lines: readonly LifeLine[]): ReturnType<typeof sealedState> =>
  sealedState(['booting', ...lines.map((line) => JSON.stringify(line)), '{"accord":']);

describe('what an enclave last said of its sealed state', () => {
  const serving: LifeLine = { accord: 'serving', port: 5000 };
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
