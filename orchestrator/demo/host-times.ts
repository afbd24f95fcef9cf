/** What the host's clock says of calls: that all of them took as long, whatever became of them. */
import { count } from '../../policies/words.ts';
import type { Made, ObservedCall, Scene } from './cast.ts';

/** Clocks are read in whole milliseconds, and at the two ends of a pipe. */
const EARLIER_MS = 2;
/** On a machine where everything else of the story runs too: half of the answers within this … */
const LATER_MS = 400;
/** … and each within this part of the release time, which is longer where every instruction is emulated. */
const LATER_SHARE = 0.4;

export function tellTimes(scene: Scene, afterMs: number): void {
  const { story, seen, made } = scene;
  const calls = seen.flatMap((one) => one.calls);
  story.check(
    `every answer left ${afterMs} ms after its request, whatever had become of it inside`,
    isOnTime(
      calls.map(({ tookMs }) => tookMs),
      afterMs,
    ),
    `measured where the host stands, in milliseconds: ${range(calls)}`,
  );
  for (const [what, own] of byOutcome(made, calls))
    story.fact(`${count(own.length, 'call')} ${what}: ${range(own)} ms`);
  const requests = [...new Set(calls.map(({ requestBytes }) => requestBytes))];
  story.check(
    'requests had one size as well: every picture was padded to the same one of the two that the policy has',
    requests.length === 1,
    `${count(calls.length, 'request')} of ${requests.join(', ')} bytes`,
  );
}

function isOnTime(tookMs: readonly number[], afterMs: number): boolean {
  const late = inOrder(tookMs).map((ms) => ms - afterMs);
  const [earliest, latest, half] = [late[0], late.at(-1), middle(late)];
  if (earliest === undefined || latest === undefined || half === undefined) return false;
  return earliest >= -EARLIER_MS && half <= LATER_MS && latest <= LATER_SHARE * afterMs;
}

function range(calls: readonly ObservedCall[]): string {
  const times = inOrder(calls.map(({ tookMs }) => tookMs));
  return `${times[0] ?? '?'} to ${times.at(-1) ?? '?'}, half of them within ${middle(times) ?? '?'}`;
}

const inOrder = (times: readonly number[]): readonly number[] => times.toSorted((a, b) => a - b);

const middle = (inOrder: readonly number[]): number | undefined => inOrder[Math.floor(inOrder.length / 2)];

/** A call that somebody made while the host saw a session of one. */
function byOutcome(
  made: readonly Made[],
  calls: readonly ObservedCall[],
): ReadonlyMap<Made['what'], readonly ObservedCall[]> {
  const found = new Map<Made['what'], ObservedCall[]>();
  for (const call of calls) {
    const known = made.find(({ from, to }) => call.openedAt >= from && call.openedAt <= to);
    if (known !== undefined) found.set(known.what, [...(found.get(known.what) ?? []), call]);
  }
  return found;
}
