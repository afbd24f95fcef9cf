/** A key for trials: what it seals and opens, for whom, by the purposes of the encryption context. The local KMS decides. */
import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Purpose } from '../../../enclave/protocol/context.ts';
import { CONTEXT_KEYS, PURPOSES } from '../../../enclave/protocol/context.ts';
import { keyPolicyText } from '../../../parties/kms/key-policy.ts';
import { trialKeyPolicy } from '../../../parties/kms/trial-key-policy.ts';
import {
  ALICE,
  ALICE_ARN,
  ALICE_ENCLAVE_ROLE,
  ALICE_KEY,
  localAws,
  outcome,
} from '../../orchestrator/local/fixture.ts';

const fixture = localAws();
const context = (purpose: Purpose): Record<string, string> => ({ [CONTEXT_KEYS.purpose]: purpose });
const sealed = new Map<Purpose, Uint8Array>();
let callers: Readonly<Record<'contributor' | 'enclave' | 'administrator', KMSClient>>;

beforeAll(async () => {
  const alice = fixture.kms('alice');
  for (const purpose of PURPOSES) {
    const EncryptionContext = context(purpose);
    const { CiphertextBlob } = await alice.send(
      new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: new Uint8Array(32), EncryptionContext }),
    );
    if (CiphertextBlob !== undefined) sealed.set(purpose, CiphertextBlob);
  }
  const policy = trialKeyPolicy({
    keyArn: ALICE_KEY,
    account: ALICE,
    enclaveRoleArn: ALICE_ENCLAVE_ROLE,
    callerArn: ALICE_ARN,
    contributorArn: ALICE_ARN,
  });
  await alice.send(new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default', Policy: keyPolicyText(policy) }));
  const enclave = await fixture.assume('alice', ALICE_ENCLAVE_ROLE);
  callers = { contributor: alice, enclave, administrator: fixture.kms('mallory') };
});

async function purposesFor(attempt: (purpose: Purpose) => Promise<unknown>): Promise<readonly Purpose[]> {
  const allowed: Purpose[] = [];
  for (const purpose of PURPOSES) {
    const { name } = await outcome(attempt(purpose));
    expect(['success', 'AccessDeniedException']).toContain(name);
    if (name === 'success') allowed.push(purpose);
  }
  return allowed;
}

const makes = (who: KMSClient): Promise<readonly Purpose[]> =>
  purposesFor((purpose) =>
    who.send(new GenerateDataKeyCommand({ KeyId: ALICE_KEY, KeySpec: 'AES_256', EncryptionContext: context(purpose) })),
  );
const opens = (who: KMSClient): Promise<readonly Purpose[]> =>
  purposesFor((purpose) =>
    who.send(new DecryptCommand({ CiphertextBlob: sealed.get(purpose), EncryptionContext: context(purpose) })),
  );

describe('data keys', () => {
  test('the contributor makes them for test data and the credential of a trial’s anchor', async () => {
    expect(await makes(callers.contributor)).toEqual(['test-model', 'anchor']);
  });

  test('an enclave makes them for what it remembers', async () => {
    expect(await makes(callers.enclave)).toEqual(['state']);
  });

  test('nobody else makes any', async () => {
    expect(await makes(callers.administrator)).toEqual([]);
    expect(await makes(fixture.kms('host'))).toEqual([]);
  });
});

describe('opening', () => {
  test('an enclave opens all of a trial, and nothing given in earnest', async () => {
    expect(await opens(callers.enclave)).toEqual(['session', 'test-model', 'state', 'anchor']);
  });

  test('nobody else opens any', async () => {
    expect(await opens(callers.contributor)).toEqual([]);
    expect(await opens(callers.administrator)).toEqual([]);
    expect(await opens(fixture.kms('host'))).toEqual([]);
  });
});
