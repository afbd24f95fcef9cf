/** What the enclave's status says, in words: its state where it is not open, the functions, and what the numbers mean. */
import type { Fields } from '../json-fields.ts';
import { printable } from '../printable.ts';
import { howToConnect } from '../session/refusal.ts';
import { wrap } from './render-policy.ts';

/** What does not hold the enclave's jails depends on the machine, and no policy says it. */
const JAIL = 'jail-';

/** The JSON of a status answer; `copy`: the number of the enclave that was chosen. One function a line. */
export function renderStatus(status: Fields, copy: number | undefined): string {
  const functions = status.fields('functions');
  const names = functions.entries().map(([name]) => name);
  const width = Math.max(...names.map((name) => name.length));
  const state = renderState(status.fields('state'), status.text('party'), copy);
  const open = state === '';
  const rows = names.map((name) => `  ${name.padEnd(width)}  ${renderFunction(functions.fields(name), open)}\n`);
  const head = `${status.text('collaboration')}, as ${status.text('party')}, until ${status.text('until')}\n`;
  const meaning = wrap(printable(status.fields('anchors').text('meaning')), '    ', '  ! ');
  const held = (status.has('weakenings') ? status.list('weakenings') : [])
    .filter((one) => one.text('code').startsWith(JAIL))
    .map((one) => wrap(printable(`${one.text('text')} [${one.text('code')}]`), '    ', '  ! '));
  return `${printable(head.trimEnd())}\n${state}${rows.join('')}${meaning}${held.join('')}`;
}

/** States of the opening in which no call is answered. */
const CLOSED: ReadonlyMap<string, string> = new Map([
  ['waiting', 'the state is not open yet'],
  ['lapsed', "a party's consent could not be renewed, and the state is not used meanwhile"],
  ['refused', 'the state that the host keeps is refused'],
]);

/** Empty where the state is open, or where there is none to open. */
function renderState(state: Fields, party: string, copy: number | undefined): string {
  const closed = CLOSED.get(state.text('state'));
  if (closed === undefined) return '';
  const reason = state.optionalText('reason');
  const why = reason === undefined ? '' : ` [${reason}]`;
  return wrap(printable(`${closed}${why}${renderWaiting(state.texts('waitingFor'), party, copy)}`), '    ', '  ! ');
}

/** This party has just connected: where it is waited for all the same, its KMS or anchor was in the way. */
function renderWaiting(waitingFor: readonly string[], party: string, copy: number | undefined): string {
  const others = waitingFor.filter((name) => name !== party);
  const own = others.length === waitingFor.length ? [] : ['your own, which this was to be: run it again'];
  const theirs = others.length === 0 ? [] : [`${others.join(', ')}, who must connect${howToConnect(copy)}`];
  const who = [...own, ...theirs];
  return who.length === 0 ? '' : `: it waits for a session of ${who.join('; and of ')}`;
}

function renderFunction(found: Fields, open: boolean): string {
  const calls = found.optionalFields('calls');
  const left = calls === undefined ? 'no calls for you' : renderCalls(calls);
  return `${left.padEnd(22)}  ${renderModel(found.optionalFields('model'), open)}${renderCallers(found.optionalFields('callers'))}`;
}

/** The enclave says null where it does not know: before its state is open, or where anchors cannot be reached. */
function renderCalls(calls: Fields): string {
  if (calls.has('left')) return `${calls.count('left')} of ${calls.count('quota')} calls left`;
  return `some of ${calls.count('quota')} calls left, not known now`;
}

/** Before its state is open the enclave does not know what was contributed, and says null. */
function renderModel(model: Fields | undefined, open: boolean): string {
  if (model === undefined) return 'needs no model';
  const sha256 = model.optionalText('sha256');
  const withheld = model.optionalText('withheld');
  const from = printable(model.text('from'));
  if (sha256 !== undefined) return `model of ${from} ${printable(sha256)}`;
  if (withheld !== undefined) return `model of ${from} not in place [${printable(withheld)}]`;
  return open ? `waits for ${from}'s model` : `model of ${from} not known before the state is open`;
}

/** What others did with this party's model. */
function renderCallers(callers: Fields | undefined): string {
  const names = callers?.entries().map(([name]) => name) ?? [];
  return names
    .map((name) => [name, callers?.fields(name)] as const)
    .map(
      ([name, calls]) =>
        `\n      ${printable(name)} made ${calls?.has('used') === true ? calls.count('used') : 'an unknown number'} of ${calls?.count('quota')} calls`,
    )
    .join('');
}
