/** Data keys are held for one set, no longer than it takes, and obtained once. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import type { AttestedKms } from '../../../enclave/kms/attested.ts';
import { createDataKeys } from '../../../enclave/state/data-keys.ts';
import type { KeySet } from '../../../enclave/state/key-set.ts';
import type { Loan } from '../../../enclave/state/loans.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { KEY_ARNS } from '../harness.ts';
import { CREDENTIALS } from '../peer.ts';

const digest = await policyDigest('{}');
const never = new AbortController().signal;
const loan: Loan = { from: 'session', keyArn: KEY_ARNS.alice, credentials: CREDENTIALS, signal: never };
const set: KeySet = {
  collaboration: 'c',
  policyDigest: digest,
  seal: 'layered',
  order: ['alice'],
  id: new Uint8Array(16),
  dataKeys: [Uint8Array.of(1)],
  wrapped: [new Uint8Array(60)],
};

/** KMS whose plaintexts are looked at afterwards. */
function watched(bytes = 32): { readonly kms: AttestedKms; readonly given: Uint8Array[] } {
  const given: Uint8Array[] = [];
  const make = (): Uint8Array => {
    const key = new Uint8Array(randomBytes(bytes));
    given.push(key);
    return key;
  };
  return {
    given,
    kms: {
      decrypt: () => Promise.resolve(make()),
      generateDataKey: () => Promise.resolve({ plaintext: make(), ciphertext: Uint8Array.of(2) }),
    },
  };
}

const isErased = (key: Uint8Array | undefined): boolean => key?.every((byte) => byte === 0) === true;

test('nothing is asked for before it is known what for', async () => {
  const { kms, given } = watched();
  await createDataKeys(kms, digest).obtain('alice', loan, never);
  expect(given).toEqual([]);
});

test('once a party, and erased when they have done their work', async () => {
  const { kms, given } = watched();
  const keys = createDataKeys(kms, digest);
  keys.want('fresh');
  await keys.obtain('alice', loan, never);
  await keys.obtain('alice', { ...loan, from: 'host' }, never);
  expect(given).toHaveLength(1);
  expect([...keys.lentBy()]).toEqual([['alice', 'session']]);
  expect(isErased(given[0])).toBe(false);
  keys.erase();
  expect(isErased(given[0])).toBe(true);
  expect(keys.has('alice')).toBe(false);
});

test('those of another set are erased at once, those of the same are kept', async () => {
  const { kms, given } = watched();
  const keys = createDataKeys(kms, digest);
  keys.want({ set, digest: new Uint8Array(32).fill(1) });
  await keys.obtain('alice', loan, never);
  keys.want({ set, digest: new Uint8Array(32).fill(1) });
  expect(keys.has('alice')).toBe(true);
  keys.want({ set, digest: new Uint8Array(32).fill(2) });
  expect(keys.has('alice')).toBe(false);
  expect(isErased(given[0])).toBe(true);
});

test('an answer that comes when another set is wanted, or the second of two, is erased', async () => {
  const { kms, given } = watched();
  const keys = createDataKeys(kms, digest);
  keys.want('fresh');
  const late = keys.obtain('alice', loan, never);
  keys.want({ set, digest: new Uint8Array(32) });
  await late;
  expect(keys.has('alice')).toBe(false);
  expect(isErased(given[0])).toBe(true);
  await Promise.all([keys.obtain('alice', loan, never), keys.obtain('alice', loan, never)]);
  expect(isErased(given[1])).not.toBe(isErased(given[2]));
});

test('what KMS opens and is no data key is refused, and erased', async () => {
  const { kms, given } = watched(31);
  const keys = createDataKeys(kms, digest);
  keys.want({ set, digest: new Uint8Array(32) });
  await expect(keys.obtain('alice', loan, never)).rejects.toMatchObject({
    code: 'state/keys-unopened',
    where: 'alice',
  });
  expect(isErased(given[0])).toBe(true);
});
