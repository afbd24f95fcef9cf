/** What the anchors say of calls, read with the party's own rights: as JSON, and in words. */
import { realTimers } from '../timers.ts';
import type { ReadAnchor, UnreadAnchor } from '../anchors/read.ts';
import { readAnchor } from '../anchors/read.ts';
import type { Difference, EnclaveCount, PartyUsage } from '../anchors/usage.ts';
import { differences, strangeThings, usageOf } from '../anchors/usage.ts';
import type { Fields } from '../json-fields.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { wrap } from './render-policy.ts';
import type { PartyContext } from './party.ts';
import { systemRandom } from './party.ts';
import type { Io } from './verb.ts';

export interface AnchorReading {
  readonly anchors: readonly AnchorLine[];
  readonly quorum: number;
  readonly calls: readonly PartyUsage[];
  /** What stands there and should not. */
  readonly reports: readonly string[];
}

type AnchorLine =
  | { readonly owner: string; readonly place: string; readonly tickets: number }
  | { readonly owner: string; readonly place: string; readonly unreadable: string };

/** Undefined where the policy has no anchors. */
export async function readAnchors(context: PartyContext, io: Io): Promise<AnchorReading | undefined> {
  const { home, aws } = context;
  const { anchors, until } = home.policy;
  if (anchors === 'none') return undefined;
  const { account } = parseKmsKeyArn(home.config.keyArn);
  const options = {
    aws,
    account,
    until,
    party: home.config.party,
    policyDigest: home.pins.policyDigest,
    timers: realTimers,
    random: systemRandom,
    signal: io.signal,
  };
  const found = await Promise.all(anchors.stores.map((store) => readAnchor(store, options)));
  const read = found.filter((each) => 'tickets' in each);
  return {
    anchors: found.map(lineOf),
    quorum: anchors.quorum,
    calls: usageOf(home.policy, read),
    reports: strangeThings(home.policy, read),
  };
}

function lineOf(found: ReadAnchor | UnreadAnchor): AnchorLine {
  const { owner, place } = found;
  return 'unreadable' in found
    ? { owner, place, unreadable: found.unreadable }
    : { owner, place, tickets: found.tickets.size };
}

/** Where the enclave's status says another number. */
export function compare(reading: AnchorReading, status: Fields): readonly Difference[] {
  const allRead = reading.anchors.every((line) => 'tickets' in line);
  return differences(reading.calls, countsOf(status), allRead);
}

function countsOf(status: Fields): readonly EnclaveCount[] {
  const party = status.text('party');
  const functions = status.fields('functions');
  return functions.entries().flatMap(([name]): readonly EnclaveCount[] => {
    const { calls, callers } = {
      calls: functions.fields(name).optionalFields('calls'),
      callers: functions.fields(name).optionalFields('callers'),
    };
    const own = calls === undefined ? [] : [{ function: name, party, left: calls.optionalCount('left') }];
    const others = (callers?.entries() ?? []).map(([caller]) => ({
      function: name,
      party: caller,
      left: callers?.fields(caller).optionalCount('left'),
    }));
    return [...own, ...others];
  });
}

export function renderReading({ anchors, quorum, calls, reports }: AnchorReading): string {
  const width = Math.max(0, ...calls.map(({ function: name, party }) => `${name}, ${party}`.length));
  const read = anchors.filter((line) => 'tickets' in line).length;
  // What a quorum holds, at least one of these shows; unless as many as a quorum could not be read.
  const atMost = anchors.length - read >= quorum ? 'at most ' : '';
  const rows = calls.map((usage) => {
    const { function: name, party, quota, left, held, half, closed, at } = usage;
    const where = Object.entries(at).map(([owner, count]) => `${count} at ${owner}'s`);
    const parts = [
      ...(held > 0 ? [`${held} held by the quorum`] : []),
      ...(half > 0 ? [read < quorum ? `${half} seen` : `${half} half claimed`] : []),
      ...(closed > 0 ? [`${closed} closed by a successor`] : []),
    ];
    const why = parts.length === 0 ? '' : ` (${parts.join(', ')}: ${where.join(', ')})`;
    return `  ${`${name}, ${party}`.padEnd(width)}  ${atMost}${left} of ${quota} calls left${why}\n`;
  });
  const lines = anchors.map((line) =>
    'tickets' in line
      ? `    ${line.owner}: ${line.place}, ${line.tickets} ticket${line.tickets === 1 ? '' : 's'}\n`
      : wrap(`${line.owner}: ${line.place} cannot be read: ${line.unreadable}`, '      ', '    '),
  );
  const short = read < anchors.length ? wrap(whatIsMissing(read, anchors.length, quorum), '    ', '  note: ') : '';
  const strange = reports.map((text) => wrap(text, '    ', '  ! ')).join('');
  return `read from the anchors by yourself\n${rows.join('')}${lines.join('')}${short}${strange}`;
}

/** A call counts when `quorum` of all anchors hold its ticket. */
function whatIsMissing(read: number, all: number, quorum: number): string {
  const found = `${read} of ${all} anchors can be read, ${quorum} must hold a ticket before it counts: `;
  const means =
    all - read >= quorum
      ? 'more may be spent than is seen here'
      : 'no call that counts is missing here, only one claimed halfway may be';
  return `${found}${means}. An owner lets others read with \`accord anchor make --reader ARN\``;
}

export function renderDifferences(found: readonly Difference[]): string {
  if (found.length === 0) return '';
  const rows = found.map(({ text }) => wrap(text, '    ', '  ! ')).join('');
  const then =
    'Do not call until it is clear why. An enclave that counts other than the anchors is not the one that the policy describes, or somebody wrote into the anchors';
  return `THE ENCLAVE AND THE ANCHORS DO NOT AGREE\n${rows}${wrap(then, '    ', '  ')}`;
}
