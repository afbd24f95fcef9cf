/** Policies as people write them. What is taken can be explained, compared, made canonical, and read again as JSON. */
import * as fc from 'fast-check';
import {
  canonicalPolicyText,
  canonicalize,
  parseCanonicalPolicy,
  toCanonicalPolicy,
} from '../../../policies/canonical.ts';
import { explain } from '../../../policies/explain.ts';
import { MOST_FAULTS, PolicyFailure } from '../../../policies/fault.ts';
import { loadPolicy } from '../../../policies/load.ts';
import type { Policy } from '../../../policies/model.ts';
import { weakenings } from '../../../policies/weakenings.ts';
import { writtenPolicy } from '../../../policies/written.ts';
import { demand } from '../target.ts';
import type { Target } from '../target.ts';
import { parse, stringify } from 'yaml';
import { varyJson } from '../trees.ts';
import { POLICIES } from './policies.ts';
import { POLICY_CODES } from './policy-codes.ts';

const WORDS = ['&a ', '*a', '!!str ', '!!js/function ', '---\n', '...\n', '%YAML 1.1\n', '? ', '- ', ': ', '<<: ', '|\n', '>\n', '"', "'", '{', '[', '[[[[[[[[[[', '{a: {a: ', '#', '\t', '~', 'null', 'yes', '.nan', '.inf', '0x10', '010', '1e3', '1_000', '2027-02-30', 'none', 'layered', 'threshold: 1', 'quorum: 1', '4MiB', '1KiB', 'trust: aws', 'afterMs: 400', 'buckets: [1, 2]', 'succeeds: ', 'answerBits: 10', 'uses: counter', 'uses: decision-tree', 'tree: { depth: 8, nodes: 255, features: 16 }', 'folder: /tmp/a', 's3://a/b', '\u0000', '\ufeff', '\u2028', '\r']; // prettier-ignore
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export async function open(): Promise<Target> {
  return {
    codes: POLICY_CODES,
    seeds: POLICIES.map(bytesOf),
    built: lines,
    /** Through its values, and back as JSON or YAML. */
    async vary(input, random) {
      const json = jsonOf(input);
      if (json === undefined) return input;
      const varied = await varyJson(bytesOf(json), random);
      return random.chance(0.5) ? varied : bytesOf(stringify(JSON.parse(new TextDecoder().decode(varied))));
    },
    words: WORDS,
    maxBytes: 20_000,
    // YAML's lexer and parser leave some 8 KB behind, most of it garbage, for a line of one mark (two bytes); a hundred faults
    // are told, each with its place and its words.
    limitBytes: (bytes) => 8 * 1024 * 1024 + 4_096 * bytes,
    run,
  };
}

const lines = fc
  .array(fc.tuple(fc.nat(6), fc.constantFrom(...WORDS, 'parties:', 'a: ', 'functions:'), fc.string({ maxLength: 8 })), {
    maxLength: 30,
  })
  .map((rows) => bytesOf(rows.map(([indent, word, rest]) => `${' '.repeat(indent)}${word}${rest}`).join('\n')));

function jsonOf(input: Uint8Array): string | undefined {
  try {
    return JSON.stringify(parse(new TextDecoder().decode(input), { logLevel: 'silent', maxAliasCount: 10 }));
  } catch {
    return undefined;
  }
}

function run(input: Uint8Array): Promise<string> | string {
  const text = new TextDecoder().decode(input);
  let policy: Policy;
  try {
    policy = loadPolicy(text, { file: 'policy.yaml' });
  } catch (error) {
    if (error instanceof PolicyFailure) demandPlaces(error, text);
    throw error;
  }
  return taken(policy);
}

/** Every fault stands somewhere in the text. */
function demandPlaces({ faults, message }: PolicyFailure, text: string): void {
  demand(faults.length <= MOST_FAULTS, `${faults.length} faults are told`);
  demand(message.length <= 65_536 + 8 * text.length, `a message of ${message.length} characters`);
  const most = text.split(/\r\n|\r|\n/).length + 1;
  for (const { line, column, code } of faults) {
    demand(POLICY_CODES.has(code), `the code ${code} is not declared`);
    demand(line >= 1 && line <= most && column >= 1, `a fault at ${line}:${column} of ${most} lines`);
  }
}

async function taken(policy: Policy): Promise<string> {
  explain(policy);
  weakenings(policy);
  const canonical = await toCanonicalPolicy(policy);
  const text = canonicalPolicyText(canonical);
  demand(canonicalPolicyText(parseCanonicalPolicy(text)) === text, 'what was taken has no canonical form');
  const again = loadPolicy(writtenPolicy(policy), { file: 'again' });
  demand(canonicalize(again) === canonicalize(policy), 'what was taken is written otherwise');
  return 'policy';
}
