import { describe, expect, test } from 'vitest';
import { renderStatus } from '../../../parties/cli/quota-status.ts';
import { jsonFields } from '../../../parties/json-fields.ts';

const SHA256 = '12'.repeat(32);

interface Told {
  readonly state: object;
  readonly party?: string;
  readonly model?: object;
  readonly copy?: number;
}

/** Without the places at which lines are broken. */
function told({ state, party = 'alice', model = { from: 'bob', sha256: null }, copy }: Told): string {
  const calls = { quota: 3, used: null, left: null };
  const status = {
    collaboration: 'c',
    party,
    until: '2030-06-30',
    functions: { classify: { uses: 'image-classification', model, calls, callers: null } },
    state,
    anchors: { meaning: 'Spent calls are written down.' },
    weakenings: [],
  };
  return renderStatus(jsonFields(status, 'test', 'status'), copy).replaceAll(/\s+/g, ' ');
}

describe('a state that is not open', () => {
  test('is told with the party whose session it waits for; of the model nothing is known', () => {
    const text = told({ state: { state: 'waiting', waitingFor: ['bob'] } });
    expect(text).toContain('! the state is not open yet: it waits for a session of bob, who must connect');
    expect(text).toContain('`accord quota`; where the host runs several copies, each waits by itself');
    expect(text).toContain('model of bob not known before the state is open');
    expect(text).not.toContain("waits for bob's model");
  });

  test('tells the party that is waited for itself', () => {
    const text = told({
      party: 'bob',
      state: { state: 'waiting', waitingFor: ['alice', 'bob'], reason: 'anchor-credential/absent (bob)' },
    });
    expect(text).toContain('the state is not open yet [anchor-credential/absent (bob)]: it waits for a session of your own, which this was to be: run it again; and of alice, who must connect'); // prettier-ignore
    const alone = told({ party: 'bob', state: { state: 'waiting', waitingFor: ['bob'] } });
    expect(alone).toContain('it waits for a session of your own');
    expect(alone).not.toContain('must connect');
  });

  test('names the copy that was chosen', () => {
    const text = told({ state: { state: 'waiting', waitingFor: ['bob'] }, copy: 2 });
    expect(text).toContain('who must connect to this copy, for example by `accord quota --copy 2`');
  });

  test('that waits for nobody tells why', () => {
    const text = told({ state: { state: 'waiting', waitingFor: [], reason: 'anchor/unavailable (bob)' } });
    expect(text).toMatch(/! the state is not open yet \[anchor\/unavailable \(bob\)\] classify/);
  });

  test.each([
    ['lapsed', ['bob'], /consent could not be renewed.*: it waits for a session of bob/],
    ['refused', [], /the state that the host keeps is refused \[state\/keys-old\]/],
  ] as const)('%s', (state, waitingFor, said) => {
    const reason = state === 'refused' ? { reason: 'state/keys-old' } : {};
    expect(told({ state: { state, waitingFor, ...reason } })).toMatch(said);
  });
});

describe.each(['open', 'none'])('a state that is %s', (state) => {
  test('is not told; a model that is not there is waited for', () => {
    const text = told({ state: { state, waitingFor: [] } });
    expect(text).not.toContain('the state');
    expect(text).toContain("waits for bob's model");
  });

  test('with a model in place, and with one that is withheld', () => {
    const of = (model: object): string => told({ state: { state, waitingFor: [] }, model: { from: 'bob', ...model } });
    expect(of({ sha256: SHA256 })).toContain(`model of bob ${SHA256}`);
    expect(of({ sha256: null, withheld: 'model/changed' })).toContain('model of bob not in place [model/changed]');
  });
});

test('a reason cannot move the terminal’s cursor', () => {
  const text = told({ state: { state: 'waiting', waitingFor: ['\u001b[2J'], reason: '\u001b[2J' } });
  expect(text).not.toContain('\u001b');
});
