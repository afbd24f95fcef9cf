import { Failure } from './failure.ts';
import { BOUNDS } from './bounds.ts';
import { kmsKeyArnHash } from './digest.ts';
import { parseKmsKeyArn } from './arn.ts';
import { PolicyFailure, type PolicyCode } from './fault.ts';
import type { CanonicalParty, CanonicalPolicy, Party, Policy } from './model.ts';
import { canonicalPolicyShape } from './schema.ts';
import { recordOf } from './reading/collections.ts';
import type { Reading } from './reading/shape.ts';
import { fromJson, keysAt } from './reading/source.ts';

/**
 * JSON in the one form of RFC 8785: no white space, keys sorted by UTF-16 code units, numbers and strings as
 * ECMAScript writes them. Equal values give equal bytes.
 * @throws Failure `malformed`, `policy/not-canonical`: NaN, infinities, lone surrogates, and what JSON does not have
 */
export function canonicalize(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw notCanonical(`${value} has no form in JSON`);
    return JSON.stringify(value);
  }
  if (typeof value === 'string') return canonicalText(value);
  if (Array.isArray(value)) return `[${value.map((item: unknown) => canonicalize(item)).join(',')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, item]: [string, unknown]) => `${canonicalText(key)}:${canonicalize(item)}`);
    return `{${members.join(',')}}`;
  }
  throw notCanonical(`a ${typeof value} has no form in JSON`);
}

function canonicalText(text: string): string {
  // RFC 8785 section 3.2.2.2: a lone surrogate has no UTF-8, so it must stop the canonicalisation.
  if (/\p{Surrogate}/u.test(text)) throw notCanonical('a text holds half of a surrogate pair');
  return JSON.stringify(text);
}

/** The policy as the image carries it: each ARN replaced by its Region and its hash. One that is so already stays as it is. */
export async function toCanonicalPolicy(policy: Policy | CanonicalPolicy): Promise<CanonicalPolicy> {
  const given: Readonly<Record<string, Party | CanonicalParty>> = policy.parties;
  const parties = await Promise.all(
    Object.entries(given).map(async ([name, party]) => [name, await toCanonicalParty(party)] as const),
  );
  const { apiVersion, collaboration, until, functions, anchors, state, succeeds, enclave, trust } = policy;
  const rest = { apiVersion, collaboration, until, functions, anchors, state, enclave, trust };
  return { ...rest, parties: recordOf(parties), ...(succeeds === undefined ? {} : { succeeds }) };
}

async function toCanonicalParty(party: Party | CanonicalParty): Promise<CanonicalParty> {
  if ('kmsKey' in party) return party;
  const { role, kmsKeyArn } = party;
  const { region } = parseKmsKeyArn(kmsKeyArn);
  return { role, kmsKey: { region, arnHash: await kmsKeyArnHash(kmsKeyArn) } };
}

/** The bytes that are measured and digested, as text. */
export function canonicalPolicyText(policy: CanonicalPolicy): string {
  return canonicalize(policy);
}

/**
 * What the enclave reads at boot. Demands the canonical bytes: whatever else means the same is refused, so that one
 * digest stands for one policy.
 * @throws PolicyFailure with every fault of the structure; Failure `malformed` where the text is not canonical JSON
 */
export function parseCanonicalPolicy(text: string): CanonicalPolicy {
  const file = 'canonical policy';
  if (text.length > BOUNDS.canonicalBytes || new TextEncoder().encode(text).length > BOUNDS.canonicalBytes) {
    throw notCanonical(`a canonical policy has at most ${BOUNDS.canonicalBytes} bytes`, 'policy/canonical-too-large');
  }
  const source = fromJson(parseJson(text), file);
  if (source === undefined) throw notCanonical('it nests deeper than any policy does', 'policy/too-deep');
  const parties = new Set(keysAt(source, ['parties']));
  const reading: Reading = { faults: [], parties, homes: new Map() };
  const policy = canonicalPolicyShape.read(source, [], reading);
  const [first, ...others] = reading.faults;
  if (first !== undefined) throw new PolicyFailure([first, ...others]);
  // Duplicate keys, white space, escapes, an order of keys, `1.0`: all give other bytes than these.
  if (policy === undefined || canonicalPolicyText(policy) !== text) {
    throw notCanonical('it is not in canonical form (RFC 8785)');
  }
  return policy;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    // V8's messages quote the text; the enclave's console is the host's, so they stay inside.
    throw new Failure<PolicyCode>('malformed', 'policy/syntax', 'the canonical policy is not JSON', { cause });
  }
}

function notCanonical(message: string, code: PolicyCode = 'policy/not-canonical'): Failure<PolicyCode> {
  return new Failure('malformed', code, message, { hint: 'let `accord build` write the canonical policy' });
}
