import { expect, test } from 'vitest';
import { retainUntil } from '../../../enclave/claims/retention.ts';

test('entries stay for 90 days after the last day has ended', () => {
  expect(new Date(retainUntil('2026-12-31')).toISOString()).toBe('2027-04-01T00:00:00.000Z');
  expect(new Date(retainUntil('2028-02-29')).toISOString()).toBe('2028-05-30T00:00:00.000Z');
});
