import { canonicalize } from './canonical.ts';
import { ofAnchors, ofOwnAnchor, ofState, ofSuccession } from './diff-anchors.ts';
import { describeFunctionChange } from './diff-functions.ts';
import type { CanonicalParty, CanonicalPolicy, Party, Policy, PolicyDigest } from './model.ts';
import { recordOf } from './reading/collections.ts';
import { trustChange } from './words-trust.ts';
import { count, enumerate } from './words.ts';
import { weakenings } from './weakenings.ts';

type Either = Policy | CanonicalPolicy;

export interface PolicyChange {
  /** `functions.classify.calls.alice` */
  readonly path: string;
  /** As JSON; null where it is absent. */
  readonly before: string | null;
  readonly after: string | null;
}

export interface PolicyDiff {
  /** Equal policies give equal digests and equal measurements; everything else gives others. */
  readonly same: boolean;
  readonly changes: readonly PolicyChange[];
  /** What holds for all. */
  readonly everyone: readonly string[];
  /** What it means for each party of either policy. */
  readonly parties: Readonly<Record<string, readonly string[]>>;
}

export interface DiffOptions {
  /** The digest of `before`; without it nothing can be said of whether `after` succeeds it. */
  readonly beforeDigest?: PolicyDigest;
}

/** What a change means for each party, in words. */
export function diffPolicies(before: Either, after: Either, { beforeDigest }: DiffOptions = {}): PolicyDiff {
  const changes = leafChanges(before, after);
  const same = changes.length === 0;
  const names = [...new Set([...Object.keys(before.parties), ...Object.keys(after.parties)])];
  return {
    same,
    changes,
    everyone: same
      ? ['Nothing changes: the policy digest and the measurements are the same.']
      : forEveryone(before, after, beforeDigest),
    parties: recordOf(same ? [] : names.map((name) => [name, forParty(before, after, name)] as const)),
  };
}

function forEveryone(before: Either, after: Either, digest: PolicyDigest | undefined): string[] {
  const texts = [
    'The new policy gives another digest and another image: PCR0 and PCR2 change, and every key stays closed to it until ' +
      'its owner pins the new PCR0 (writes it into the key policy).',
    ...ofSuccession(before, after, digest),
    ...ofAnchors(before, after),
    ...ofState(before, after),
    ...trustChange(before.trust, after.trust),
  ];
  if (before.collaboration !== after.collaboration) {
    texts.push(`These are two collaborations: ${before.collaboration} and ${after.collaboration}.`);
  }
  if (before.until !== after.until) {
    const direction = before.until < after.until ? 'later' : 'earlier';
    texts.push(`It ends ${direction}: on ${after.until} instead of ${before.until}.`);
  }
  if (canonicalize(before.enclave) !== canonicalize(after.enclave)) {
    texts.push(`The enclave runs with ${after.enclave.memoryMiB} MiB and ${count(after.enclave.cpus, 'CPU')}.`);
  }
  const known = new Set(weakenings(before).map(({ text }) => text));
  const left = new Set(weakenings(after).map(({ text }) => text));
  for (const { text } of weakenings(after)) if (!known.has(text)) texts.push(`New weakening: ${text}`);
  for (const { text } of weakenings(before)) if (!left.has(text)) texts.push(`No longer a weakening: ${text}`);
  return texts;
}

function forParty(before: Either, after: Either, name: string): string[] {
  const was = before.parties[name];
  const is = after.parties[name];
  if (is === undefined) {
    return [
      `${name} no longer takes part. The new image has no use for ${name}'s key; to stop the old one too, take its PCR0 out of the key's policy.`,
    ];
  }
  const texts = was === undefined ? [`${name} joins as ${is.role.replace('-', ' ')}.`] : ofSelf(name, was, is);
  const functions = new Set([...Object.keys(before.functions), ...Object.keys(after.functions)]);
  for (const id of functions) {
    texts.push(...describeFunctionChange(id, before.functions[id], after.functions[id], name));
  }
  texts.push(...ofOwnAnchor(before, after, name));
  const news = difference(Object.keys(after.parties), Object.keys(before.parties)).filter((other) => other !== name);
  if (news.length > 0 && was !== undefined) texts.push(`${name} now computes together with ${enumerate(news)}.`);
  texts.push(`To consent, ${name} pins the new PCR0; to refuse, ${name} does nothing.`);
  return texts;
}

function ofSelf(name: string, was: Party | CanonicalParty, is: Party | CanonicalParty): string[] {
  const texts: string[] = [];
  if (was.role !== is.role)
    texts.push(`${name} is now called ${is.role} instead of ${was.role}; permissions do not follow from it.`);
  if (canonicalize({ ...was, role: '' }) !== canonicalize({ ...is, role: '' })) {
    texts.push(
      `${name} takes part with another KMS key. Whoever can use that key is ${name} from now on: is it ${name}'s own?`,
    );
  }
  return texts;
}

const difference = (some: readonly string[], others: readonly string[]): string[] =>
  some.filter((item) => !others.includes(item));

/** Every value that differs, by its path. */
function leafChanges(before: unknown, after: unknown, path: string = ''): PolicyChange[] {
  if (isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => leafChanges(own(before, key), own(after, key), path === '' ? key : `${path}.${key}`));
  }
  const [was, is] = [text(before), text(after)];
  return was === is ? [] : [{ path, before: was, after: is }];
}

const own = (record: Readonly<Record<string, unknown>>, key: string): unknown =>
  Object.hasOwn(record, key) ? record[key] : undefined;

const text = (value: unknown): string | null => (value === undefined ? null : canonicalize(value));

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
