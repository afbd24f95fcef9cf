/** Canonical JSON: the policy as the image carries it, and any value written in its one form. */
import * as fc from 'fast-check';
import {
  canonicalPolicyText,
  canonicalize,
  parseCanonicalPolicy,
  toCanonicalPolicy,
} from '../../../policies/canonical.ts';
import { loadPolicy } from '../../../policies/load.ts';
import { demand } from '../target.ts';
import type { Target } from '../target.ts';
import { readJson, jsonText, varyJson } from '../trees.ts';
import { POLICY_CODES } from './policy-codes.ts';
import { POLICIES } from './policies.ts';

export async function open(): Promise<Target> {
  const seeds: Uint8Array[] = [];
  for (const text of POLICIES) {
    seeds.push(bytesOf(canonicalPolicyText(await toCanonicalPolicy(loadPolicy(text, { file: 'policy' })))));
  }
  return {
    codes: POLICY_CODES,
    seeds,
    built: fc.json({ maxDepth: 6 }).map((text) => bytesOf(canonicalOf(text) ?? text)),
    vary: varyJson,
    /** In the one form again: what is left to refuse is what it says. */
    repair(input) {
      const tree = readJson(input);
      return tree === undefined ? input : bytesOf(canonicalOf(jsonText(tree)) ?? '');
    },
    words: [
      '"',
      '\\u0000',
      '\\ud800',
      '1e400',
      '-0',
      '1.0',
      'null',
      '[[[[[[[[',
      '{"a":',
      '__proto__',
      '"none"',
      '\ufeff',
    ],
    maxBytes: 140_000,
    run(input) {
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(input);
      sameValueSameText(text);
      const policy = parseCanonicalPolicy(text);
      demand(canonicalPolicyText(policy) === text, 'a canonical policy is written otherwise');
      return 'policy';
    },
  };
}

/** Whatever JSON says, its canonical form says the same, and is the canonical form of itself. */
function sameValueSameText(text: string): void {
  if (text.length > 4_096) return;
  const once = canonicalOf(text);
  if (once === undefined) return;
  demand(canonicalize(JSON.parse(once)) === once, 'a canonical form has another canonical form');
}

/** Undefined for what is no JSON, or has no canonical form. */
function canonicalOf(text: string): string | undefined {
  try {
    return canonicalize(JSON.parse(text));
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) throw error;
    return undefined;
  }
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
