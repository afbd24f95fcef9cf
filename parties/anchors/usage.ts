/**
 * What the anchors that could be read say of each party's calls. Whether an entry is genuine only the enclave can tell,
 * which has the key; that it is the same entry in several anchors, everybody sees.
 */
import { parseEntry } from '../../enclave/claims/entry.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import type { CanonicalPolicy } from '../../policies/model.ts';
import { functionNamed, quotaOf } from '../../policies/quota.ts';
import type { ReadAnchor } from './read.ts';

export interface PartyUsage {
  readonly function: string;
  readonly party: string;
  readonly quota: number;
  /** Tickets that a quorum of all anchors shows alike. */
  readonly held: number;
  /** Those that fewer show: half claimed, or the rest cannot be read. */
  readonly half: number;
  /** Those that a successor closed. */
  readonly closed: number;
  /** As the enclave counts: a half-claimed ticket is its caller's. */
  readonly left: number;
  /** Tickets in each anchor that could be read. */
  readonly at: Readonly<Record<string, number>>;
}

export function usageOf(policy: CanonicalPolicy, anchors: readonly ReadAnchor[]): readonly PartyUsage[] {
  const quorum = policy.anchors === 'none' ? 0 : policy.anchors.quorum;
  return Object.entries(policy.functions).flatMap(([name, { calls }]) =>
    Object.entries(calls)
      .filter(([, quota]) => quota > 0)
      .map(([party, quota]) => partyUsage({ name, party, quota, quorum }, anchors)),
  );
}

interface Of {
  readonly name: string;
  readonly party: string;
  readonly quota: number;
  readonly quorum: number;
}

function partyUsage({ name, party, quota, quorum }: Of, anchors: readonly ReadAnchor[]): PartyUsage {
  let [held, half, closed] = [0, 0, 0];
  const at = Object.fromEntries(anchors.map(({ owner }) => [owner, 0]));
  for (let k = 0; k < quota; k += 1) {
    const seen = new Map<string, { readonly kind: string; count: number }>();
    for (const { owner, tickets } of anchors) {
      const found = tickets.get(`${name}/${party}/${k}`);
      const entry = found?.at === 'entry' ? parseEntry(found.bytes) : undefined;
      if (found?.at !== 'entry' || entry === undefined) continue;
      at[owner] = (at[owner] ?? 0) + 1;
      const text = toHex(found.bytes);
      const same = seen.get(text) ?? { kind: entry.kind, count: 0 };
      same.count += 1;
      seen.set(text, same);
    }
    const [most] = [...seen.values()].toSorted((a, b) => b.count - a.count);
    if (most === undefined) continue;
    if (most.kind === 'closed') closed += 1;
    else if (most.count >= quorum) held += 1;
    else half += 1;
  }
  return { function: name, party, quota, held, half, closed, left: quota - held - half - closed, at };
}

/** What stands in the anchors and should not, in words. */
export function strangeThings(policy: CanonicalPolicy, anchors: readonly ReadAnchor[]): readonly string[] {
  return anchors.flatMap(({ owner, tickets, reports }) => [
    ...reports.map((text) => `${owner}'s anchor: ${text}`),
    ...[...tickets].flatMap(([place, found]) => {
      const why = found.at === 'foreign' ? found.why : whyNot(policy, place, found.bytes);
      return why === undefined ? [] : [`${owner}'s anchor: ${place}: ${why}`];
    }),
  ]);
}

function whyNot({ functions }: CanonicalPolicy, place: string, bytes: Uint8Array): string | undefined {
  const [name = '', party = '', k = ''] = place.split('/');
  const found = functionNamed(functions, name);
  if (found === undefined || Number(k) >= quotaOf(found, party)) return 'the policy has no such ticket';
  const entry = parseEntry(bytes);
  return entry === undefined || entry.kind === 'version' ? 'it is no ticket' : undefined;
}

export interface EnclaveCount {
  readonly function: string;
  readonly party: string;
  /** Undefined where the enclave does not know now. */
  readonly left: number | undefined;
}

export interface Difference {
  readonly function: string;
  readonly party: string;
  readonly enclaveLeft: number;
  readonly anchorsLeft: number;
  readonly text: string;
}

/**
 * Where the enclave says another number than the anchors. That it counts more calls as spent proves nothing where some
 * anchors could not be read: they may hold what the others do not.
 */
export function differences(
  usage: readonly PartyUsage[],
  counts: readonly EnclaveCount[],
  allRead: boolean,
): readonly Difference[] {
  return counts.flatMap(({ function: name, party, left }) => {
    const found = usage.find((each) => each.function === name && each.party === party);
    if (found === undefined || left === undefined || left === found.left) return [];
    if (left < found.left && !allRead) return [];
    const text =
      left > found.left
        ? `the enclave says that ${party} has ${left} calls of ${name} left, the anchors show ${found.left}: it does not count what is written down`
        : `the enclave says that ${party} has ${left} calls of ${name} left, the anchors show ${found.left}: it counts what is not written down`;
    return [{ function: name, party, enclaveLeft: left, anchorsLeft: found.left, text }];
  });
}
