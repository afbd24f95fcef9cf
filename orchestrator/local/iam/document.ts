/**
 * Policy documents: JSON text in, statements that can be evaluated out. Whatever the evaluator would not understand (an
 * operator, a condition key, an element, a repeated JSON key) is refused here, so that no clause is ever silently ignored.
 */
import { NotJson, asObjects, parseJson as parseStrictJson } from '../../../enclave/encoding/strict-json.ts';
import type { JsonFault } from '../../../enclave/encoding/strict-json.ts';
import { parseArn } from './arn.ts';
import { isKnownConditionKey } from './condition-keys.ts';
import type { Condition } from './condition.ts';
import { parseOperator, takesValue, VARIABLE } from './condition.ts';

/**
 * `resource` policies name principals (key policies), `trust` policies do too and have no Resource (who may assume a role),
 * `identity` policies belong to one (and session policies).
 */
export type PolicyKind = 'resource' | 'trust' | 'identity';

export interface PolicyDocument {
  readonly statements: readonly Statement[];
}

export interface Statement {
  readonly sid: string | undefined;
  readonly effect: 'Allow' | 'Deny';
  /** Undefined in identity policies. */
  readonly principals: { readonly except: boolean; readonly names: readonly string[] } | undefined;
  readonly actions: Patterns;
  readonly resources: Patterns;
  readonly conditions: readonly Condition[];
}

export interface Patterns {
  readonly except: boolean;
  readonly patterns: readonly string[];
}

/** The document cannot be evaluated; the message says which part and why. */
export class PolicyFault extends Error {
  override readonly name = 'PolicyFault';
}

/** A condition's values are at six. */
const MAX_DEPTH = 16;
const STRICTER: Readonly<Record<JsonFault, string>> = {
  syntax: 'This policy contains invalid Json',
  duplicate: 'This policy contains the same key twice',
  depth: `This policy is nested deeper than ${MAX_DEPTH} levels`,
};
const VERSIONS = ['2012-10-17', '2008-10-17'];
const ELEMENTS = new Set([
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]);

export function parsePolicyDocument(text: string, kind: PolicyKind): PolicyDocument {
  const document = record(parseJson(text), 'the policy');
  for (const key of Object.keys(document)) {
    if (!['Version', 'Id', 'Statement'].includes(key)) throw new PolicyFault(`unknown element ${key}`);
  }
  const version = document['Version'] ?? '2008-10-17';
  if (typeof version !== 'string' || !VERSIONS.includes(version)) throw new PolicyFault('Version must be 2012-10-17');
  const list = document['Statement'];
  if (list === undefined) throw new PolicyFault('Statement is missing');
  const statements = Array.isArray(list) ? list : [list];
  if (statements.length === 0) throw new PolicyFault('Statement is empty');
  return {
    statements: statements.map((each: unknown, index) => {
      const where = `Statement[${index}]`;
      return parseStatement(record(each, where), where, kind, version);
    }),
  };
}

function parseStatement(
  from: Readonly<Record<string, unknown>>,
  where: string,
  kind: PolicyKind,
  version: string,
): Statement {
  for (const key of Object.keys(from)) {
    if (!ELEMENTS.has(key)) throw new PolicyFault(`${where}: unknown element ${key}`);
  }
  const effect = from['Effect'];
  if (effect !== 'Allow' && effect !== 'Deny') throw new PolicyFault(`${where}: Effect must be Allow or Deny`);
  const sid = from['Sid'];
  if (sid !== undefined && typeof sid !== 'string') throw new PolicyFault(`${where}: Sid must be a text`);
  if (version !== '2012-10-17' && JSON.stringify(from).includes('${')) {
    throw new PolicyFault(`${where}: policy variables need Version 2012-10-17`);
  }
  return {
    sid,
    effect,
    principals: parsePrincipals(from, where, kind, effect),
    actions: parsePatterns(from, 'Action', where, isActionPattern),
    resources: parseResources(from, where, kind),
    conditions: parseConditions(from['Condition'], where),
  };
}

function parsePrincipals(
  from: Readonly<Record<string, unknown>>,
  where: string,
  kind: PolicyKind,
  effect: 'Allow' | 'Deny',
): Statement['principals'] {
  const name = only(from, 'Principal', where);
  if (kind === 'identity') {
    if (name !== undefined) throw new PolicyFault(`${where}: a policy of an identity has no ${name}`);
    return undefined;
  }
  if (name === undefined) throw new PolicyFault(`${where}: Policy Statement must contain principals.`);
  const except = name === 'NotPrincipal';
  // Allow with NotPrincipal lets in everybody else in the world, anonymous callers included: IAM advises against it for
  // every service, and a key policy that needs it does not exist.
  if (except && effect === 'Allow') throw new PolicyFault(`${where}: NotPrincipal with Allow is not supported`);
  const value = from[name];
  if (value === '*') return { except, names: ['*'] };
  return {
    except,
    names: Object.entries(record(value, `${where}.${name}`)).flatMap(([type, list]) =>
      strings(list, `${where}.${name}.${type}`).map((principal) => normalisePrincipal(type, principal, where)),
    ),
  };
}

function normalisePrincipal(type: string, name: string, where: string): string {
  const invalid = new PolicyFault(`${where}: Policy contains a statement with one or more invalid principals.`);
  if (type === 'Service') {
    // No AWS service calls anything here, so such a principal reaches nobody; it is still a valid one.
    if (!/^[a-z0-9.-]+\.amazonaws\.com$/.test(name)) throw invalid;
    return `service:${name}`;
  }
  if (type !== 'AWS') throw invalid;
  if (name === '*') return name;
  if (/^\d{12}$/.test(name)) return `arn:aws:iam::${name}:root`;
  const arn = parseArn(name);
  const known =
    arn !== undefined &&
    /^\d{12}$/.test(arn.account) &&
    arn.region === '' &&
    !/[*?]/.test(name) &&
    ((arn.service === 'iam' && /^(root|(user|role)\/.+)$/.test(arn.resource)) ||
      (arn.service === 'sts' && /^(assumed-role\/[^/]+\/[^/]+|federated-user\/[^/]+)$/.test(arn.resource)));
  if (!known) throw invalid;
  return name;
}

/** A statement without Action or Resource is accepted and has no effect (KMS API reference, PutKeyPolicy). */
function parsePatterns(
  from: Readonly<Record<string, unknown>>,
  element: 'Action' | 'Resource',
  where: string,
  valid: (pattern: string) => boolean,
): Patterns {
  const name = only(from, element, where);
  if (name === undefined) return { except: false, patterns: [] };
  const patterns = strings(from[name], `${where}.${name}`);
  const wrong = patterns.find((pattern) => !valid(pattern));
  if (wrong !== undefined) throw new PolicyFault(`${where}: ${name} ${JSON.stringify(wrong)} is not valid`);
  for (const pattern of patterns) checkVariables(pattern, where);
  return { except: name !== element, patterns };
}

function parseResources(from: Readonly<Record<string, unknown>>, where: string, kind: PolicyKind): Patterns {
  const valid = (pattern: string): boolean => pattern === '*' || pattern.startsWith('arn:');
  if (kind !== 'trust') return parsePatterns(from, 'Resource', where, valid);
  const name = only(from, 'Resource', where);
  if (name !== undefined) throw new PolicyFault(`${where}: a trust policy has no ${name}`);
  return { except: false, patterns: ['*'] };
}

function isActionPattern(pattern: string): boolean {
  return pattern === '*' || /^[A-Za-z0-9-]+:[A-Za-z0-9*?]+$/.test(pattern);
}

function parseConditions(value: unknown, where: string): readonly Condition[] {
  if (value === undefined) return [];
  return Object.entries(record(value, `${where}.Condition`)).flatMap(([name, block]) => {
    const operator = parseOperator(name);
    if (operator === undefined) throw new PolicyFault(`${where}: condition operator ${name} is not supported`);
    return Object.entries(record(block, `${where}.Condition.${name}`)).map(([key, list]): Condition => {
      if (!isKnownConditionKey(key)) throw new PolicyFault(`${where}: condition key ${key} is not supported`);
      const values = strings(list, `${where}.Condition.${name}.${key}`, true);
      const wrong = values.find((each) => !takesValue(operator, each));
      if (wrong !== undefined) {
        throw new PolicyFault(`${where}: ${name} cannot compare ${key} with ${JSON.stringify(wrong)}`);
      }
      for (const each of values) checkVariables(each, where);
      return { ...operator, key: key.toLowerCase(), values };
    });
  });
}

function checkVariables(text: string, where: string): void {
  for (const [whole, inner = ''] of text.matchAll(VARIABLE)) {
    const name = inner.split(',')[0]?.trim() ?? '';
    if (!['*', '?', '$'].includes(inner) && !isKnownConditionKey(name)) {
      throw new PolicyFault(`${where}: policy variable ${whole} is not supported`);
    }
  }
}

/** The name under which the element stands, `Not…` or not; never both. */
function only(from: Readonly<Record<string, unknown>>, element: string, where: string): string | undefined {
  const present = [element, `Not${element}`].filter((name) => from[name] !== undefined);
  if (present.length > 1) throw new PolicyFault(`${where}: ${present.join(' and ')} exclude each other`);
  return present[0];
}

function strings(value: unknown, where: string, scalars = false): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw new PolicyFault(`${where} is empty`);
  return list.map((each) => {
    if (typeof each === 'string') return each;
    if (scalars && (typeof each === 'boolean' || typeof each === 'number')) return String(each);
    throw new PolicyFault(`${where} must be a text or a list of texts`);
  });
}

function record(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw new PolicyFault(`${where} must be a JSON object`);
  return value;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON.parse keeps the last of two equal keys and drops the other clause unread: a stricter reader tells. */
function parseJson(text: string): unknown {
  try {
    return asObjects(parseStrictJson(text, MAX_DEPTH));
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    throw new PolicyFault(STRICTER[error.fault]);
  }
}
