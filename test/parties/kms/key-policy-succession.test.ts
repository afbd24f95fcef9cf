/**
 * Key policies for anchors and for what outlives an image: whose credentials are sealed how, who makes and opens state keys,
 * what a successor may open of its predecessor, and the host's role as the enclave's. Evaluated by the local KMS.
 */
import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, PutKeyPolicyCommand } from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import { beforeAll, describe, expect, test } from 'vitest';
import { fromHex } from '../../../enclave/encoding/hex.ts';
import { anchorContext, inputContext, sessionContext, stateContext } from '../../../enclave/protocol/context.ts';
import { HOST_ROLE, WELL_KNOWN } from '../../../orchestrator/local/accounts.ts';
import { termsOf } from '../../../parties/kms/key-policy-read.ts';
import type { KeyPolicyTerms, Pin } from '../../../parties/kms/key-policy.ts';
import { keyPolicy, keyPolicyText } from '../../../parties/kms/key-policy.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import {
  ALICE,
  ALICE_ARN,
  ALICE_ENCLAVE_ROLE,
  ALICE_KEY,
  localAws,
  outcome,
  rsaPair,
} from '../../orchestrator/local/fixture.ts';

const fixture = localAws();
const hex = (pair: string): string => pair.repeat(48);
const OLD: Pin = { pcr0: hex('a1'), policyDigest: hex('d1') };
const NEXT: Pin = { pcr0: hex('a2'), policyDigest: hex('d2'), succeeds: OLD.policyDigest };
const HOST = `arn:aws:iam::${WELL_KNOWN.host.account}:role/${HOST_ROLE}`;
const TERMS: KeyPolicyTerms = {
  keyArn: ALICE_KEY,
  account: ALICE,
  pins: [OLD, NEXT],
  enclaveRoleArn: ALICE_ENCLAVE_ROLE,
  callerArn: ALICE_ARN,
  contributorArn: ALICE_ARN,
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a digest of no policy
const bound = (pin: Pin) => ({ policyDigest: pin.policyDigest as PolicyDigest, party: 'alice' });
const state = (pin: Pin) => ({ ...stateContext(bound(pin)) });
const anchor = (pin: Pin) => ({ ...anchorContext(bound(pin)) });
const input = (pin: Pin) => ({ ...inputContext({ ...bound(pin), function: 'classify' }) });
const session = (pin: Pin) => ({ ...sessionContext({ ...bound(pin), sessionId: new Uint8Array(16) }) });

const { spki } = rsaPair();
async function attested(
  pcr0: string,
): Promise<{ KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256'; AttestationDocument: Uint8Array }> {
  const pcrs = new Map([0, 1, 2].map((index) => [index, fromHex(pcr0)]));
  const AttestationDocument = await fixture.aws.issuer.sign({ moduleId: 'i-0-enc0', pcrs, publicKey: spki });
  return { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument };
}

type Context = Record<string, string>;

/** A data key, as `who` gets it: from inside the image where one is named. */
async function make(who: KMSClient, EncryptionContext: Context, image?: string) {
  const Recipient = image === undefined ? {} : { Recipient: await attested(image) };
  return await who.send(
    new GenerateDataKeyCommand({ KeyId: ALICE_KEY, KeySpec: 'AES_256', EncryptionContext, ...Recipient }),
  );
}

async function open(
  who: KMSClient,
  CiphertextBlob: Uint8Array | undefined,
  EncryptionContext: Context,
  image?: string,
) {
  const Recipient = image === undefined ? {} : { Recipient: await attested(image) };
  return await who.send(new DecryptCommand({ KeyId: ALICE_KEY, CiphertextBlob, EncryptionContext, ...Recipient }));
}

async function put(terms: Partial<KeyPolicyTerms>): Promise<void> {
  const Policy = keyPolicyText(keyPolicy({ ...TERMS, ...terms }));
  await fixture.kms('alice').send(new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default', Policy }));
}

const DENIED = { name: 'AccessDeniedException' };
let alice: KMSClient;
let mallory: KMSClient;
let enclave: KMSClient;

beforeAll(async () => {
  alice = fixture.kms('alice');
  mallory = fixture.kms('mallory');
  enclave = await fixture.assume('alice', ALICE_ENCLAVE_ROLE);
  await put({});
});

describe('the credential of an anchor', () => {
  test('is sealed by the contributor, and opens to the pinned image under its own agreement alone', async () => {
    const { CiphertextBlob, Plaintext } = await make(alice, anchor(OLD));
    expect(Plaintext).toHaveLength(32);
    expect((await open(enclave, CiphertextBlob, anchor(OLD), OLD.pcr0)).CiphertextForRecipient).toBeDefined();
    expect(await outcome(open(enclave, CiphertextBlob, anchor(OLD)))).toMatchObject(DENIED);
    expect(await outcome(open(alice, CiphertextBlob, anchor(OLD)))).toMatchObject(DENIED);
  });

  test('is not sealed by anybody else', async () => {
    expect(await outcome(make(mallory, anchor(OLD)))).toMatchObject(DENIED);
    expect(await outcome(make(enclave, anchor(OLD)))).toMatchObject(DENIED);
    expect(await outcome(make(fixture.kms('host'), anchor(OLD)))).toMatchObject(DENIED);
  });

  test('does not open to the successor: it is contributed anew', async () => {
    const { CiphertextBlob } = await make(alice, anchor(OLD));
    expect(await outcome(open(enclave, CiphertextBlob, anchor(OLD), NEXT.pcr0))).toMatchObject(DENIED);
  });
});

describe('a state key', () => {
  test.each([
    ['the contributor', () => alice],
    ['an administrator', () => mallory],
    ['the enclave’s credentials', () => enclave],
    ['the host', () => fixture.kms('host')],
  ])('is not made unattested: %s', async (_, who) => {
    expect(await outcome(make(who(), state(OLD)))).toMatchObject(DENIED);
  });

  test('is made and opened by the image under its agreement', async () => {
    const made = await make(enclave, state(OLD), OLD.pcr0);
    expect(made.Plaintext).toBeUndefined();
    expect((await open(enclave, made.CiphertextBlob, state(OLD), OLD.pcr0)).CiphertextForRecipient).toBeDefined();
  });
});

describe('the successor', () => {
  test('opens the state of its predecessor, which still does too', async () => {
    const { CiphertextBlob } = await make(enclave, state(OLD), OLD.pcr0);
    for (const { pcr0 } of [OLD, NEXT]) {
      expect((await open(enclave, CiphertextBlob, state(OLD), pcr0)).CiphertextForRecipient).toBeDefined();
    }
  });

  test('makes state keys under its own agreement, and none under the old one', async () => {
    expect((await make(enclave, state(NEXT), NEXT.pcr0)).CiphertextForRecipient).toBeDefined();
    expect(await outcome(make(enclave, state(OLD), NEXT.pcr0))).toMatchObject(DENIED);
  });

  test('opens nothing else of its predecessor', async () => {
    const encrypted = new EncryptCommand({
      KeyId: ALICE_KEY,
      Plaintext: new Uint8Array(32),
      EncryptionContext: session(OLD),
    });
    const challenge = await alice.send(encrypted);
    const sent = await make(alice, input(OLD));
    expect(await outcome(open(enclave, challenge.CiphertextBlob, session(OLD), NEXT.pcr0))).toMatchObject(DENIED);
    expect(await outcome(open(enclave, sent.CiphertextBlob, input(OLD), NEXT.pcr0))).toMatchObject(DENIED);
  });

  test('hands nothing back: the predecessor opens none of its state', async () => {
    const { CiphertextBlob } = await make(enclave, state(NEXT), NEXT.pcr0);
    expect(await outcome(open(enclave, CiphertextBlob, state(NEXT), OLD.pcr0))).toMatchObject(DENIED);
  });

  test('opens no old state where it was not named, nor once the hand-over is over', async () => {
    const { CiphertextBlob } = await make(enclave, state(OLD), OLD.pcr0);
    const { succeeds: _, ...alone } = NEXT;
    try {
      for (const pins of [[OLD, alone], [alone]]) {
        await put({ pins });
        expect(await outcome(open(enclave, CiphertextBlob, state(OLD), NEXT.pcr0))).toMatchObject(DENIED);
      }
    } finally {
      await put({});
    }
  });

  test('needs each of the denials about it: an administrator gets around the policy without', async () => {
    const opened = await make(alice, input(OLD));
    const attempts: Readonly<Record<string, () => Promise<unknown>>> = {
      DenyImage2UnderAnotherAgreement: async () => {
        const other = { ...NEXT, policyDigest: hex('d3') };
        const { CiphertextBlob } = await make(alice, input(other));
        return await open(mallory, CiphertextBlob, input(other), NEXT.pcr0);
      },
      DenyImage2KeysUnderAnotherAgreement: () => make(mallory, state(OLD), NEXT.pcr0),
      DenyImage2ButForStateOfItsPredecessor: () => open(mallory, opened.CiphertextBlob, input(OLD), NEXT.pcr0),
    };
    const policy = keyPolicy(TERMS);
    // An Allow that somebody with PutKeyPolicy might add in good faith: only a Deny stands in its way.
    const wide = {
      Sid: 'TooMuch',
      Effect: 'Allow',
      Principal: { AWS: `arn:aws:iam::${ALICE}:root` },
      Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
      Resource: '*',
    };
    const putStatements = async (without: string): Promise<void> => {
      const Statement = [...policy.Statement.filter(({ Sid }) => Sid !== without), wide];
      const Policy = JSON.stringify({ ...policy, Statement });
      await alice.send(new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default', Policy }));
    };
    const added = policy.Statement.filter(({ Sid }) => Sid.startsWith('DenyImage2')).map(({ Sid }) => Sid);
    expect(Object.keys(attempts)).toEqual(added);
    try {
      for (const [sid, attempt] of Object.entries(attempts)) {
        await putStatements('none');
        expect(await outcome(attempt()), `${sid} in place`).toMatchObject(DENIED);
        await putStatements(sid);
        expect(await outcome(attempt()), `${sid} left out`).toMatchObject({ name: 'success' });
      }
    } finally {
      await put({});
    }
  });

  test('is read back from the policy', () => {
    expect(termsOf(keyPolicyText(keyPolicy(TERMS)), ALICE_KEY)).toEqual(TERMS);
  });

  test.each<[string, readonly Pin[]]>([
    ['of an image that is not pinned', [NEXT]],
    ['of itself', [OLD, { ...NEXT, succeeds: NEXT.policyDigest }]],
  ])('%s is refused', (_, pins) => {
    expect(() => keyPolicy({ ...TERMS, pins })).toThrow(expect.objectContaining({ code: 'key-policy/succession' }));
  });
});

describe("the host's role as the enclave's", () => {
  let host: KMSClient;
  beforeAll(async () => {
    host = await fixture.assume('host', HOST);
  });

  test('opens nothing while the policy does not name it', async () => {
    const { CiphertextBlob } = await make(enclave, state(OLD), OLD.pcr0);
    expect(await outcome(open(host, CiphertextBlob, state(OLD), OLD.pcr0))).toMatchObject(DENIED);
  });

  test.each([
    ['beside the party’s', { hostRoleArn: HOST }],
    ['in place of the party’s', { enclaveRoleArn: HOST }],
  ])('opens and makes state keys from the pinned images alone, where it is named %s', async (_, terms) => {
    await put(terms);
    try {
      const { CiphertextBlob } = await make(host, state(OLD), OLD.pcr0);
      expect((await open(host, CiphertextBlob, state(OLD), OLD.pcr0)).CiphertextForRecipient).toBeDefined();
      expect(await outcome(open(host, CiphertextBlob, state(OLD)))).toMatchObject(DENIED);
      expect(await outcome(open(host, CiphertextBlob, state(OLD), hex('a3')))).toMatchObject(DENIED);
      expect(await outcome(make(host, state(OLD)))).toMatchObject(DENIED);
      expect(await outcome(make(host, anchor(OLD)))).toMatchObject(DENIED);
      expect((await open(host, CiphertextBlob, state(OLD), NEXT.pcr0)).CiphertextForRecipient).toBeDefined();
      const own = await outcome(open(enclave, CiphertextBlob, state(OLD), OLD.pcr0));
      expect(own.name).toBe('hostRoleArn' in terms ? 'success' : 'AccessDeniedException');
      const policy = keyPolicyText(keyPolicy({ ...TERMS, ...terms }));
      expect(termsOf(policy, ALICE_KEY)).toEqual({ ...TERMS, ...terms });
    } finally {
      await put({});
    }
  });

  test('may not be the caller or the contributor', () => {
    for (const terms of [{ callerArn: HOST }, { contributorArn: HOST }]) {
      expect(() => keyPolicy({ ...TERMS, ...terms })).toThrow(
        expect.objectContaining({ code: 'key-policy/principal' }),
      );
    }
  });
});
