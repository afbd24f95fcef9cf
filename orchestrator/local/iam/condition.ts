/**
 * Condition blocks: `"Operator": { "key": [values] }`. All operators and all keys must hold; of several values one is
 * enough for a positive operator, and a negated one demands that none fits.
 *
 * What an absent key means decides everything here (IAM User Guide, "condition operators"): a positive operator over an
 * absent key does not hold, a negated one does, `…IfExists` does, `ForAllValues:` does and `ForAnyValue:` does not. So a
 * Deny with StringNotEquals on `kms:RecipientAttestation:ImageSha384` matches every request without an attestation.
 */
import { BlockList, isIP } from 'node:net';
import { matchesArnPattern, matchesPattern } from './arn.ts';

/** Lower-case key -> the values of the request. An absent key has no entry. */
export type RequestContext = ReadonlyMap<string, readonly string[]>;

/** One value of the request against one of the policy. */
type Compare = (actual: string, wanted: string) => boolean;

interface Operator {
  readonly holds: Compare;
  readonly negated: boolean;
  /** Whether a value in the policy can be compared at all; what cannot is refused when the policy is put. */
  readonly takes?: (wanted: string) => boolean;
}

const equals: Compare = (actual, wanted) => actual === wanted;
const equalsIgnoringCase: Compare = (actual, wanted) => actual.toLowerCase() === wanted.toLowerCase();
const like: Compare = (actual, wanted) => matchesPattern(wanted, actual);
const arn: Compare = (actual, wanted) => matchesArnPattern(wanted, actual);
const number = (test: (a: number, b: number) => boolean): Pick<Operator, 'holds' | 'takes'> => ({
  holds: (actual, wanted) => isNumber(actual) && test(Number(actual), Number(wanted)),
  takes: isNumber,
});
const date = (test: (a: number, b: number) => boolean): Pick<Operator, 'holds' | 'takes'> => ({
  holds: (actual, wanted) => test(instant(actual), instant(wanted)),
  takes: (wanted) => !Number.isNaN(instant(wanted)),
});
const isArnPattern = (wanted: string): boolean => wanted === '*' || wanted.split(':').length >= 6;
const isBoolean = (wanted: string): boolean => /^(true|false)$/i.test(wanted);

const OPERATORS: Readonly<Record<string, Operator>> = {
  StringEquals: { holds: equals, negated: false },
  StringNotEquals: { holds: equals, negated: true },
  StringEqualsIgnoreCase: { holds: equalsIgnoringCase, negated: false },
  StringNotEqualsIgnoreCase: { holds: equalsIgnoringCase, negated: true },
  StringLike: { holds: like, negated: false },
  StringNotLike: { holds: like, negated: true },
  // ArnEquals and ArnLike behave identically (IAM User Guide).
  ArnEquals: { holds: arn, negated: false, takes: isArnPattern },
  ArnNotEquals: { holds: arn, negated: true, takes: isArnPattern },
  ArnLike: { holds: arn, negated: false, takes: isArnPattern },
  ArnNotLike: { holds: arn, negated: true, takes: isArnPattern },
  Bool: { holds: equalsIgnoringCase, negated: false, takes: isBoolean },
  NumericEquals: { ...number((a, b) => a === b), negated: false },
  NumericNotEquals: { ...number((a, b) => a === b), negated: true },
  NumericLessThan: { ...number((a, b) => a < b), negated: false },
  NumericLessThanEquals: { ...number((a, b) => a <= b), negated: false },
  NumericGreaterThan: { ...number((a, b) => a > b), negated: false },
  NumericGreaterThanEquals: { ...number((a, b) => a >= b), negated: false },
  DateEquals: { ...date((a, b) => a === b), negated: false },
  DateNotEquals: { ...date((a, b) => a === b), negated: true },
  DateLessThan: { ...date((a, b) => a < b), negated: false },
  DateLessThanEquals: { ...date((a, b) => a <= b), negated: false },
  DateGreaterThan: { ...date((a, b) => a > b), negated: false },
  DateGreaterThanEquals: { ...date((a, b) => a >= b), negated: false },
  IpAddress: { holds: inNetwork, negated: false, takes: (wanted) => network(wanted) !== undefined },
  NotIpAddress: { holds: inNetwork, negated: true, takes: (wanted) => network(wanted) !== undefined },
};

export type SetOperator = 'ForAnyValue' | 'ForAllValues';

export interface Condition {
  /** Lower case. */
  readonly key: string;
  readonly values: readonly string[];
  readonly test: 'Null' | Operator;
  readonly set: SetOperator | undefined;
  readonly ifExists: boolean;
}

export interface ParsedOperator {
  readonly test: 'Null' | Operator;
  readonly set: SetOperator | undefined;
  readonly ifExists: boolean;
}

/** `ForAnyValue:StringNotLikeIfExists` and the like; undefined for an operator that is not evaluated here. */
export function parseOperator(text: string): ParsedOperator | undefined {
  const match = /^(?:(ForAnyValue|ForAllValues):)?([A-Za-z]+?)(IfExists)?$/.exec(text);
  if (match === null) return undefined;
  const set = match[1] === 'ForAnyValue' || match[1] === 'ForAllValues' ? match[1] : undefined;
  const ifExists = match[3] !== undefined;
  const name = match[2] ?? '';
  if (name === 'Null') return set === undefined && !ifExists ? { test: 'Null', set, ifExists } : undefined;
  const test = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
  return test === undefined ? undefined : { test, set, ifExists };
}

/** Whether the operator can compare with this value. Values with variables are judged when they are filled in. */
export function takesValue({ test }: ParsedOperator, wanted: string): boolean {
  if (test === 'Null') return isBoolean(wanted);
  return wanted.includes('${') || test.takes === undefined || test.takes(wanted);
}

export function conditionHolds(condition: Condition, context: RequestContext): boolean {
  const actual = context.get(condition.key) ?? [];
  const absent = actual.length === 0;
  if (condition.test === 'Null') return condition.values.some((wanted) => (wanted.toLowerCase() === 'true') === absent);
  const { holds, negated } = condition.test;
  const wanted = condition.values.flatMap((value) => fillIn(value, context));
  const fits = (value: string): boolean => wanted.some((each) => holds(value, each)) !== negated;
  if (absent && condition.ifExists) return true;
  switch (condition.set) {
    case 'ForAllValues':
      return actual.every(fits);
    case 'ForAnyValue':
      return actual.some(fits);
    case undefined:
      return negated ? actual.every(fits) : actual.some(fits);
  }
}

/** `${aws:username}`, `${key, 'otherwise'}`, and `${*}`, `${?}`, `${$}` for themselves. A variable without a value fits nothing. */
export function fillIn(text: string, context: RequestContext): readonly string[] {
  if (!text.includes('${')) return [text];
  let missing = false;
  const filled = text.replace(VARIABLE, (_, inner: string) => {
    if (inner === '*' || inner === '?' || inner === '$') return inner;
    const [name = '', otherwise] = inner.split(/,\s*/, 2);
    const values = context.get(name.trim().toLowerCase()) ?? [];
    const value = values.length === 1 ? values[0] : otherwise?.replace(/^'(.*)'$/s, '$1');
    if (value === undefined) missing = true;
    return value ?? '';
  });
  return missing ? [] : [filled];
}

export const VARIABLE: RegExp = /\$\{([^}]*)\}/g;

function isNumber(text: string): boolean {
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
}

/** W3C date and time, or seconds since 1970; NaN for anything else. */
function instant(text: string): number {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  return /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text) ? Date.parse(text) : NaN;
}

function inNetwork(actual: string, wanted: string): boolean {
  const family = isIP(actual);
  return family !== 0 && network(wanted)?.check(actual, family === 4 ? 'ipv4' : 'ipv6') === true;
}

function network(cidr: string): BlockList | undefined {
  const [address = '', bits] = cidr.split('/');
  const family = isIP(address);
  const length = bits === undefined ? (family === 4 ? 32 : 128) : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (family === 0 || length < 0 || length > (family === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  return list;
}
