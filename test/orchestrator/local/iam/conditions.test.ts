import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchesArnPattern, matchesPattern } from '../../../../orchestrator/local/iam/arn.ts';
import type { RequestContext } from '../../../../orchestrator/local/iam/condition.ts';
import { conditionHolds, parseOperator } from '../../../../orchestrator/local/iam/condition.ts';

function holds(
  operator: string,
  key: string,
  wanted: string | readonly string[],
  context: Readonly<Record<string, string | readonly string[]>>,
): boolean {
  const parsed = parseOperator(operator);
  if (parsed === undefined) throw new Error(`no operator ${operator}`);
  const actual: RequestContext = new Map(
    Object.entries(context).map(([name, values]) => [
      name.toLowerCase(),
      typeof values === 'string' ? [values] : values,
    ]),
  );
  const values = typeof wanted === 'string' ? [wanted] : wanted;
  return conditionHolds({ ...parsed, key: key.toLowerCase(), values }, actual);
}

const IMAGE = 'kms:RecipientAttestation:ImageSha384';
const KEYS = 'kms:EncryptionContextKeys';

describe('an absent key', () => {
  test.each([
    ['StringEquals', false],
    ['StringLike', false],
    ['ArnEquals', false],
    ['Bool', false],
    ['NumericEquals', false],
    ['DateLessThan', false],
    ['IpAddress', false],
    ['StringNotEquals', true],
    ['StringNotEqualsIgnoreCase', true],
    ['StringNotLike', true],
    ['ArnNotEquals', true],
    ['ArnNotLike', true],
    ['NumericNotEquals', true],
    ['DateNotEquals', true],
    ['NotIpAddress', true],
    ['StringEqualsIfExists', true],
    ['ArnLikeIfExists', true],
    ['StringNotEqualsIfExists', true],
    ['ForAllValues:StringEquals', true],
    ['ForAllValues:StringNotEquals', true],
    ['ForAnyValue:StringEquals', false],
    ['ForAnyValue:StringNotEquals', false],
  ])('%s holds: %s', (operator, expected) => {
    expect(holds(operator, IMAGE, '1', {})).toBe(expected);
  });

  test('Null tells presence from absence', () => {
    expect(holds('Null', IMAGE, 'true', {})).toBe(true);
    expect(holds('Null', IMAGE, 'false', {})).toBe(false);
    expect(holds('Null', IMAGE, 'true', { [IMAGE]: 'aa' })).toBe(false);
    expect(holds('Null', IMAGE, 'false', { [IMAGE]: 'aa' })).toBe(true);
  });
});

describe('operators', () => {
  test.each<[string, string | string[], string, boolean]>([
    ['StringEquals', 'abc', 'abc', true],
    ['StringEquals', 'abc', 'ABC', false],
    ['StringEqualsIgnoreCase', 'abc', 'ABC', true],
    ['StringEquals', ['a', 'b'], 'b', true],
    ['StringNotEquals', ['a', 'b'], 'b', false],
    ['StringNotEquals', ['a', 'b'], 'c', true],
    ['StringNotEqualsIgnoreCase', ['AA', 'bb'], 'aa', false],
    ['StringLike', 'a*c?', 'abbbcd', true],
    ['StringLike', 'a*c?', 'abbbc', false],
    ['StringNotLike', 'a*', 'abc', false],
    ['ArnLike', 'arn:aws:iam::*:role/*', 'arn:aws:iam::111122223333:role/x', true],
    ['ArnEquals', 'arn:aws:iam::111122223333:role/*', 'arn:aws:iam::111122223333:role/x', true],
    ['ArnLike', 'arn:*:role/x', 'arn:aws:iam::111122223333:role/x', false],
    ['ArnNotEquals', 'arn:aws:iam::111122223333:role/x', 'arn:aws:iam::111122223333:role/x', false],
    ['ArnNotEquals', 'arn:aws:iam::111122223333:role/x', 'arn:aws:iam::111122223333:role/y', true],
    ['Bool', 'true', 'TRUE', true],
    ['Bool', 'true', 'false', false],
    ['NumericLessThan', '10', '9.5', true],
    ['NumericLessThan', '10', '10', false],
    ['NumericLessThanEquals', '10', '10', true],
    ['NumericGreaterThanEquals', '10', '9', false],
    ['NumericEquals', '7', 'seven', false],
    ['NumericNotEquals', '7', 'seven', true],
    ['DateGreaterThan', '2026-01-01T00:00:00Z', '2026-06-01T00:00:00Z', true],
    ['DateLessThan', '1767225600', '2025-12-31T23:59:59Z', true],
    ['DateEquals', '2026-01-01T00:00:00Z', '2026-01-01T01:00:00+01:00', true],
    ['IpAddress', '10.0.0.0/8', '10.200.3.4', true],
    ['NotIpAddress', '10.0.0.0/8', '10.200.3.4', false],
    ['IpAddress', '2001:db8::/32', '2001:db8:1::1', true],
    ['IpAddress', '127.0.0.1', '127.0.0.2', false],
  ])('%s %j with %j: %s', (operator, wanted, actual, expected) => {
    expect(holds(operator, IMAGE, wanted, { [IMAGE]: actual })).toBe(expected);
  });

  test('sets: any and all, with negation inside', () => {
    const keys = (...values: string[]): Readonly<Record<string, readonly string[]>> => ({ [KEYS]: values });
    expect(holds('ForAllValues:StringEquals', KEYS, ['a', 'b'], keys('a', 'b'))).toBe(true);
    expect(holds('ForAllValues:StringEquals', KEYS, ['a', 'b'], keys('a', 'c'))).toBe(false);
    expect(holds('ForAnyValue:StringEquals', KEYS, ['a'], keys('c', 'a'))).toBe(true);
    expect(holds('ForAnyValue:StringNotEquals', KEYS, ['a', 'b'], keys('a', 'b'))).toBe(false);
    expect(holds('ForAnyValue:StringNotEquals', KEYS, ['a', 'b'], keys('a', 'B'))).toBe(true);
    expect(holds('ForAllValues:StringNotEquals', KEYS, ['a'], keys('b', 'c'))).toBe(true);
    expect(holds('ForAllValues:StringNotEquals', KEYS, ['a'], keys('b', 'a'))).toBe(false);
  });

  test('variables are filled in, and one without a value fits nothing', () => {
    const context = { 'aws:username': 'alice', [IMAGE]: 'alice' };
    expect(holds('StringEquals', IMAGE, '${aws:username}', context)).toBe(true);
    expect(holds('StringEquals', IMAGE, '${AWS:UserName}', context)).toBe(true);
    expect(holds('StringEquals', IMAGE, '${aws:userid}', context)).toBe(false);
    expect(holds('StringEquals', IMAGE, "${aws:userid, 'alice'}", context)).toBe(true);
    expect(holds('StringEquals', IMAGE, '${*}', { [IMAGE]: '*' })).toBe(true);
  });

  test('what is not an operator is none', () => {
    for (const name of ['StringMatches', 'BinaryEquals', 'stringequals', 'ForSome:StringEquals', 'toString', '']) {
      expect(parseOperator(name), name).toBeUndefined();
    }
    expect(parseOperator('ForAnyValue:Null')).toBeUndefined();
    expect(parseOperator('NullIfExists')).toBeUndefined();
  });
});

describe('patterns', () => {
  test('agree with a regular expression on every text', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', ':', '.'), maxLength: 12 });
    fc.assert(
      fc.property(letters, letters, (pattern, text) => {
        const source = pattern.replace(/[.*?]/g, (c) => (c === '*' ? '.*' : c === '?' ? '.' : '\\.'));
        expect(matchesPattern(pattern, text)).toBe(new RegExp(`^(?:${source})$`, 's').test(text));
      }),
    );
  });

  test('many stars end, too', () => {
    // With naive backtracking this would outlast the machine.
    expect(matchesPattern('*a'.repeat(200), `${'a'.repeat(2000)}b`)).toBe(false);
  });

  test('a star in an ARN stays within its part', () => {
    expect(matchesArnPattern('arn:aws:iam::*:role/x', 'arn:aws:iam::1:2:role/x')).toBe(false);
    expect(matchesArnPattern('arn:aws:iam::*', 'arn:aws:iam::1:role/x')).toBe(false);
    expect(matchesArnPattern('arn:aws:iam::*:*', 'arn:aws:iam::1:role/x:y')).toBe(true);
  });
});
