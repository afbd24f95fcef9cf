/**
 * The key policy against everybody who would like to get around it: through the SDK, over TLS, evaluated by the local KMS.
 * Mallory is an administrator of the owner's account; IAM allows her everything.
 */
import {
  CreateGrantCommand,
  DecryptCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GetKeyPolicyCommand,
  ListGrantsCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
  RevokeGrantCommand,
} from '@aws-sdk/client-kms';
import type { KMSClient } from '@aws-sdk/client-kms';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { CONTEXT_KEYS, modelContext, sessionContext } from '../../../enclave/protocol/context.ts';
import { fromHex } from '../../../enclave/encoding/hex.ts';
import { keyPolicy, keyPolicyText, MAX_KEY_POLICY_BYTES } from '../../../parties/kms/key-policy.ts';
import type { KeyPolicyTerms, Pin } from '../../../parties/kms/key-policy.ts';
import { compareKeyPolicies, isSamePolicy, termsOf } from '../../../parties/kms/key-policy-read.ts';
import { Failure } from '../../../policies/failure.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import {
  ADMIN_ROLE,
  ALICE,
  ALICE_ARN,
  ALICE_ENCLAVE_ROLE,
  ALICE_KEY,
  BOB_KEY,
  MALLORY_ARN,
  localAws,
  outcome,
  rsaPair,
} from '../../orchestrator/local/fixture.ts';

const fixture = localAws();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (pair: string): string => pair.repeat(48);

const FIRST: Pin = { pcr0: hex('a1'), policyDigest: hex('d1') };
const SECOND: Pin = { pcr0: hex('a2'), policyDigest: hex('d2') };
const TERMS: KeyPolicyTerms = {
  keyArn: ALICE_KEY,
  account: ALICE,
  pins: [FIRST, SECOND],
  enclaveRoleArn: ALICE_ENCLAVE_ROLE,
  callerArn: ALICE_ARN,
  contributorArn: ALICE_ARN,
};
const LIMIT = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: ALICE_KEY }],
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a digest of no policy
const digestOf = (pin: Pin): PolicyDigest => pin.policyDigest as PolicyDigest;
const session = (pin: Pin): Record<string, string> => ({
  ...sessionContext({ policyDigest: digestOf(pin), party: 'alice', sessionId: new Uint8Array(16) }),
});
const model = (pin: Pin): Record<string, string> => ({
  ...modelContext({ policyDigest: digestOf(pin), party: 'alice', function: 'classify' }),
});
const purpose = (pin: Pin, name: string): Record<string, string> => ({ ...session(pin), [CONTEXT_KEYS.purpose]: name });

const { spki } = rsaPair();
async function attested(
  pcr0: string,
): Promise<{ KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256'; AttestationDocument: Uint8Array }> {
  const pcrs = new Map([0, 1, 2].map((index) => [index, fromHex(pcr0)]));
  const AttestationDocument = await fixture.aws.issuer.sign({ moduleId: 'i-0-enc0', pcrs, publicKey: spki });
  return { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument };
}

let enclave: KMSClient;
let admin: KMSClient;
/** Ciphertexts under Alice's key: a session challenge and a model's data key, each for both agreements. */
let challenge: Uint8Array;
let modelKey: Uint8Array;
/** Made before the policy came: encrypted for no purpose, and by Mallory for the purpose `state`. */
let older: Uint8Array;
let forged: Uint8Array;
/** Grants of every operation, given to Alice and to Mallory before the policy came: only an explicit Deny stops these. */
const EVERYTHING = [
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
  'CreateGrant',
] as const;
let grantToken: string;

beforeAll(async () => {
  const alice = fixture.kms('alice');
  const mallory = fixture.kms('mallory');
  older =
    (await alice.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('older') }))).CiphertextBlob ?? older;
  const state = { KeyId: ALICE_KEY, Plaintext: new Uint8Array(32), EncryptionContext: purpose(FIRST, 'state') };
  forged = (await mallory.send(new EncryptCommand(state))).CiphertextBlob ?? forged;
  for (const GranteePrincipal of [ALICE_ARN, MALLORY_ARN]) {
    const grant = new CreateGrantCommand({ KeyId: ALICE_KEY, GranteePrincipal, Operations: [...EVERYTHING] });
    grantToken = (await alice.send(grant)).GrantToken ?? '';
  }
  const Policy = keyPolicyText(keyPolicy(TERMS));
  await alice.send(new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default', Policy }));
  const encrypt = { KeyId: ALICE_KEY, Plaintext: new Uint8Array(32), EncryptionContext: session(FIRST) };
  challenge = (await alice.send(new EncryptCommand(encrypt))).CiphertextBlob ?? challenge;
  const dataKey = { KeyId: ALICE_KEY, KeySpec: 'AES_256', EncryptionContext: model(FIRST) } as const;
  modelKey = (await alice.send(new GenerateDataKeyCommand(dataKey))).CiphertextBlob ?? modelKey;
  enclave = await fixture.assume('alice', ALICE_ENCLAVE_ROLE, LIMIT);
  admin = await fixture.assume('mallory', ADMIN_ROLE);
});

describe('what it allows', () => {
  test('the pinned image opens what is for its own agreement', async () => {
    for (const [CiphertextBlob, EncryptionContext] of [
      [challenge, session(FIRST)],
      [modelKey, model(FIRST)],
    ] as const) {
      const Recipient = await attested(FIRST.pcr0);
      const answer = await enclave.send(
        new DecryptCommand({ CiphertextBlob, EncryptionContext, Recipient, KeyId: ALICE_KEY }),
      );
      expect(answer.CiphertextForRecipient).toBeInstanceOf(Uint8Array);
      expect(answer.Plaintext).toBeUndefined();
    }
    const Recipient = await attested(SECOND.pcr0);
    const state = {
      KeyId: ALICE_KEY,
      KeySpec: 'AES_256',
      EncryptionContext: purpose(SECOND, 'state'),
      Recipient,
    } as const;
    expect((await enclave.send(new GenerateDataKeyCommand(state))).CiphertextForRecipient).toBeInstanceOf(Uint8Array);
  });

  test('the owner looks after the key, and can change the policy', async () => {
    const alice = fixture.kms('alice');
    await alice.send(new DisableKeyCommand({ KeyId: ALICE_KEY }));
    await alice.send(new EnableKeyCommand({ KeyId: ALICE_KEY }));
    const { Policy = '' } = await alice.send(new GetKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default' }));
    expect((await alice.send(new ListGrantsCommand({ KeyId: ALICE_KEY }))).Grants).toHaveLength(2);
    const again = new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default', Policy });
    expect((await outcome(alice.send(again))).name).toBe('success');
  });
});

/** Each row is one way around the policy; the words are the beginning of AWS's refusal of it. */
type Attack = readonly [name: string, attempt: () => Promise<unknown>];
const kms = (profile: string): KMSClient => fixture.kms(profile);
const decrypt = (who: KMSClient, more: object = {}): Promise<unknown> =>
  who.send(new DecryptCommand({ CiphertextBlob: modelKey, EncryptionContext: model(FIRST), ...more }));
const dataKey = (who: KMSClient, EncryptionContext: Record<string, string>, more: object = {}): Promise<unknown> =>
  who.send(new GenerateDataKeyCommand({ KeyId: ALICE_KEY, KeySpec: 'AES_256', EncryptionContext, ...more }));
const encrypt = (who: KMSClient, EncryptionContext: Record<string, string>, more: object = {}): Promise<unknown> =>
  who.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: new Uint8Array(32), EncryptionContext, ...more }));
const reEncrypt = (who: KMSClient, CiphertextBlob: Uint8Array, from: object, DestinationKeyId: string, to: object) =>
  who.send(
    new ReEncryptCommand({
      CiphertextBlob,
      DestinationKeyId,
      SourceEncryptionContext: { ...from },
      DestinationEncryptionContext: { ...to },
    }),
  );

const ATTACKS: readonly Attack[] = [
  // Decrypt
  ['the owner decrypts', () => decrypt(kms('alice'))],
  ['an administrator decrypts', () => decrypt(kms('mallory'))],
  ["an administrator's role decrypts", () => decrypt(admin)],
  ['the host decrypts', () => decrypt(kms('host'))],
  ['another party decrypts', () => decrypt(kms('bob'))],
  ["the enclave's credentials decrypt without an enclave", () => decrypt(enclave)],
  ['a grantee decrypts', () => decrypt(kms('mallory'), { GrantTokens: [grantToken] })],
  ['another image decrypts', async () => decrypt(enclave, { Recipient: await attested(hex('a3')) })],
  ['an enclave in debug mode decrypts', async () => decrypt(enclave, { Recipient: await attested(hex('00')) })],
  ["another agreement's image decrypts", async () => decrypt(enclave, { Recipient: await attested(SECOND.pcr0) })],
  [
    "another agreement's image decrypts by a grant",
    async () => decrypt(kms('mallory'), { Recipient: await attested(SECOND.pcr0), GrantTokens: [grantToken] }),
  ],
  [
    'the first image decrypts what is for the second',
    async () => {
      const EncryptionContext = session(SECOND);
      const made = new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: new Uint8Array(32), EncryptionContext });
      const { CiphertextBlob } = await kms('alice').send(made);
      const Recipient = await attested(FIRST.pcr0);
      return await kms('mallory').send(new DecryptCommand({ CiphertextBlob, EncryptionContext, Recipient }));
    },
  ],
  [
    'the pinned image decrypts what has no agreement',
    async () => enclave.send(new DecryptCommand({ CiphertextBlob: older, Recipient: await attested(FIRST.pcr0) })),
  ],
  [
    "the host decrypts with the pinned image's document",
    async () => decrypt(kms('host'), { Recipient: await attested(FIRST.pcr0) }),
  ],
  // ReEncrypt, both directions
  ['the owner re-encrypts to another key', () => reEncrypt(kms('alice'), modelKey, model(FIRST), BOB_KEY, {})],
  [
    'an administrator re-encrypts in place',
    () => reEncrypt(kms('mallory'), modelKey, model(FIRST), ALICE_KEY, session(FIRST)),
  ],
  ['the host re-encrypts', () => reEncrypt(kms('host'), modelKey, model(FIRST), BOB_KEY, {})],
  [
    'a key of one’s own choice is re-encrypted into it',
    async () => {
      const bob = kms('bob');
      const { CiphertextBlob = older } = await bob.send(
        new EncryptCommand({ KeyId: BOB_KEY, Plaintext: new Uint8Array(32) }),
      );
      return await reEncrypt(bob, CiphertextBlob, {}, ALICE_KEY, purpose(FIRST, 'state'));
    },
  ],
  // Grants
  [
    'the owner grants Decrypt',
    () =>
      kms('alice').send(
        new CreateGrantCommand({ KeyId: ALICE_KEY, GranteePrincipal: ALICE_ARN, Operations: ['Decrypt'] }),
      ),
  ],
  [
    'a grantee grants on',
    () =>
      kms('mallory').send(
        new CreateGrantCommand({ KeyId: ALICE_KEY, GranteePrincipal: ADMIN_ROLE, Operations: ['Encrypt'] }),
      ),
  ],
  [
    'the host grants itself Decrypt',
    () =>
      kms('host').send(
        new CreateGrantCommand({
          KeyId: ALICE_KEY,
          GranteePrincipal: 'arn:aws:iam::999900001111:user/host',
          Operations: ['Decrypt'],
        }),
      ),
  ],
  // Data keys whose plaintext is known outside
  ['the contributor makes a data key for state', () => dataKey(kms('alice'), purpose(FIRST, 'state'))],
  ['the contributor makes a data key for a session', () => dataKey(kms('alice'), session(FIRST))],
  ['an administrator contributes the credential of an anchor', () => dataKey(kms('mallory'), purpose(FIRST, 'anchor'))],
  ['the contributor makes a data key for nothing', () => dataKey(kms('alice'), {})],
  ['an administrator contributes', () => dataKey(kms('mallory'), model(FIRST))],
  ['a grantee contributes', () => dataKey(kms('mallory'), model(FIRST), { GrantTokens: [grantToken] })],
  ["the enclave's credentials contribute without an enclave", () => dataKey(enclave, model(FIRST))],
  [
    'another image makes a data key for state',
    async () => dataKey(enclave, purpose(FIRST, 'state'), { Recipient: await attested(hex('a3')) }),
  ],
  [
    'the pinned image makes one for another agreement',
    async () => dataKey(enclave, purpose(SECOND, 'state'), { Recipient: await attested(FIRST.pcr0) }),
  ],
  [
    'a grantee makes one without plaintext for state',
    () =>
      kms('mallory').send(
        new GenerateDataKeyWithoutPlaintextCommand({
          KeyId: ALICE_KEY,
          KeySpec: 'AES_256',
          EncryptionContext: purpose(FIRST, 'state'),
        }),
      ),
  ],
  // Encrypt: chosen plaintexts, and sessions in the party's name
  ['the caller wraps a chosen key as state', () => encrypt(kms('alice'), purpose(FIRST, 'state'))],
  ['the caller wraps a chosen key as a model', () => encrypt(kms('alice'), model(FIRST))],
  ['the caller encrypts without a purpose', () => encrypt(kms('alice'), {})],
  ['an administrator answers a challenge', () => encrypt(kms('mallory'), session(FIRST))],
  ["an administrator's role answers a challenge", () => encrypt(admin, session(FIRST))],
  ['a grantee answers a challenge', () => encrypt(kms('mallory'), session(FIRST), { GrantTokens: [grantToken] })],
  ["the enclave's credentials answer a challenge", () => encrypt(enclave, session(FIRST))],
  ['the host answers a challenge', () => encrypt(kms('host'), session(FIRST))],
  // The same name in other letters
  ['the purpose in capitals alone', () => encrypt(kms('alice'), { [CONTEXT_KEYS.purpose.toUpperCase()]: 'session' })],
  ['a second purpose in other letters', () => encrypt(kms('alice'), { ...session(FIRST), 'Accord:Purpose': 'state' })],
  [
    'a second purpose beside a state',
    () => dataKey(kms('alice'), { ...purpose(FIRST, 'state'), 'Accord:Purpose': 'model' }),
  ],
];

describe('what it stops', () => {
  test.each(ATTACKS)('%s', async (_, attempt) => {
    const refused = await outcome(attempt());
    expect(refused.name).toBe('AccessDeniedException');
    expect(refused.message).toMatch(/^User: .* is not authorized to perform: kms:/);
  });

  test('what was forged before the policy came is not taken for state of another agreement', async () => {
    // A data key that Mallory wrapped as state while she could: it opens to the pinned image, which is why a key is used
    // for Accord alone from its making; under any other agreement it does not.
    const open = async (pin: Pin, EncryptionContext: Record<string, string>): Promise<string> => {
      const Recipient = await attested(pin.pcr0);
      return (await outcome(enclave.send(new DecryptCommand({ CiphertextBlob: forged, EncryptionContext, Recipient }))))
        .name;
    };
    expect(await open(SECOND, purpose(FIRST, 'state'))).toBe('AccessDeniedException');
    expect(await open(SECOND, purpose(SECOND, 'state'))).toBe('InvalidCiphertextException');
  });

  test('every attack succeeds without the policy, or is refused for another reason than it', async () => {
    // So that a row cannot pass by a slip of its own: under the default policy the owner's account may do all of this.
    const alice = fixture.kms('alice');
    const { Policy: ours = '' } = await alice.send(
      new GetKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default' }),
    );
    const open = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ALICE}:root` }, Action: 'kms:*', Resource: '*' },
      ],
    });
    const put = async (Policy: string): Promise<unknown> =>
      await alice.send(new PutKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default', Policy }));
    await put(open);
    try {
      const byOwnersAccount = ATTACKS.filter(([name]) =>
        /^(the owner|the caller|the contributor|an administrator)/.test(name),
      );
      expect(byOwnersAccount.length).toBeGreaterThan(10);
      for (const [name, attempt] of byOwnersAccount) {
        const { name: result } = await outcome(attempt());
        // Bob's key stays closed to Alice's account: that row's first half is what succeeds.
        expect(result, name).toBe(name.includes('to another key') ? 'AccessDeniedException' : 'success');
      }
    } finally {
      await put(ours);
    }
  });
});

describe('each Deny is needed: without it an attack gets through', () => {
  const denials = keyPolicy(TERMS).Statement.filter(({ Effect }) => Effect === 'Deny');
  test.each(denials.map(({ Sid }) => Sid))('%s', async (Sid) => {
    const alice = fixture.kms('alice');
    const policy = keyPolicy(TERMS);
    const put = async (Statement: typeof policy.Statement): Promise<unknown> =>
      await alice.send(
        new PutKeyPolicyCommand({
          KeyId: ALICE_KEY,
          PolicyName: 'default',
          Policy: JSON.stringify({ ...policy, Statement }),
        }),
      );
    await put(policy.Statement.filter((statement) => statement.Sid !== Sid));
    try {
      const through: string[] = [];
      for (const [name, attempt] of ATTACKS) {
        if ((await outcome(attempt())).name === 'success') through.push(name);
      }
      expect(through).not.toEqual([]);
    } finally {
      await put(policy.Statement);
      // Grants that got through would be an attacker's for good.
      const { Grants = [] } = await alice.send(new ListGrantsCommand({ KeyId: ALICE_KEY }));
      for (const { GrantId, Operations } of Grants) {
        if (Operations?.length !== EVERYTHING.length) {
          await alice.send(new RevokeGrantCommand({ KeyId: ALICE_KEY, GrantId }));
        }
      }
    }
  });
});

describe('terms that would protect nothing are refused', () => {
  test.each<[string, Partial<KeyPolicyTerms>, string]>([
    ['no pin', { pins: [] }, 'key-policy/no-pin'],
    ['zeros', { pins: [{ ...FIRST, pcr0: hex('00') }] }, 'key-policy/pin-zero'],
    ['a digest of zeros', { pins: [{ ...FIRST, policyDigest: hex('00') }] }, 'key-policy/pin-zero'],
    ['a short PCR0', { pins: [{ ...FIRST, pcr0: 'a1' }] }, 'key-policy/pin'],
    ['a wildcard for PCR0', { pins: [{ ...FIRST, pcr0: '*' }] }, 'key-policy/pin'],
    ['one image under two agreements', { pins: [FIRST, { ...SECOND, pcr0: FIRST.pcr0 }] }, 'key-policy/pin-conflict'],
    ['the caller as the enclave', { callerArn: ALICE_ENCLAVE_ROLE }, 'key-policy/roles'],
    ['the contributor as the enclave', { contributorArn: ALICE_ENCLAVE_ROLE }, 'key-policy/roles'],
    ['a session as the caller', { callerArn: `arn:aws:sts::${ALICE}:assumed-role/admin/x` }, 'key-policy/principal'],
    ['the account as the caller', { callerArn: `arn:aws:iam::${ALICE}:root` }, 'key-policy/principal'],
    ['everybody as the caller', { callerArn: '*' }, 'key-policy/principal'],
    ['roles by pattern', { enclaveRoleArn: `arn:aws:iam::${ALICE}:role/*` }, 'key-policy/principal'],
    ['a key of another account', { account: '444455556666' }, 'key-policy/principal'],
    [
      'more pins than fit',
      {
        pins: Array.from({ length: 60 }, (_, index) => ({
          pcr0: hex((index + 16).toString(16)),
          policyDigest: hex('d1'),
        })),
      },
      'key-policy/size',
    ],
  ])('%s', (_, change, code) => {
    const write = (): string => keyPolicyText(keyPolicy({ ...TERMS, ...change }));
    expect(write).toThrow(Failure);
    expect(write).toThrow(expect.objectContaining({ code }));
  });

  test.each(['alias/mine', ALICE_KEY.replace('key/', 'alias/'), ALICE_KEY.replace('key/', 'key/mrk-')])(
    '%s',
    (keyArn) => {
      expect(() => keyPolicy({ ...TERMS, keyArn })).toThrow(Failure);
    },
  );
});

const digest = fc.uint8Array({ minLength: 48, maxLength: 48 }).map((value) => Buffer.from(value).toString('hex'));
const pins = fc.uniqueArray(
  fc.record({ pcr0: digest, policyDigest: digest }).filter((pin) => !Object.values(pin).includes(hex('00'))),
  { minLength: 1, maxLength: 12, selector: ({ pcr0 }) => pcr0 },
);

describe('reading it back', () => {
  test('finds the terms again, whatever the white space', () => {
    fc.assert(
      fc.property(pins, (some) => {
        const terms = { ...TERMS, pins: some };
        const policy = keyPolicy(terms);
        expect(keyPolicyText(policy).length).toBeLessThanOrEqual(MAX_KEY_POLICY_BYTES);
        expect(termsOf(keyPolicyText(policy), ALICE_KEY)).toEqual(terms);
        expect(termsOf(JSON.stringify(policy), ALICE_KEY)).toEqual(terms);
        expect(isSamePolicy(keyPolicyText(policy), policy)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('knows a policy that somebody changed as none of ours', () => {
    const text = JSON.stringify(keyPolicy(TERMS));
    for (const changed of [
      text.replace('"kms:CreateGrant",', ''),
      text.replace('StringNotEqualsIgnoreCase', 'StringNotEqualsIgnoreCaseIfExists'),
      text.replace('kms:DescribeKey', 'kms:*'),
      text.replace(ALICE_ARN, MALLORY_ARN),
      '{}',
      'not JSON',
      '{"Statement":{"Sid":"AllowImage1"}}',
    ]) {
      expect(changed).not.toBe(text);
      expect(termsOf(changed, ALICE_KEY), changed.slice(0, 80)).toBeUndefined();
    }
  });

  test('says what a new policy changes', () => {
    const before = JSON.stringify(keyPolicy({ ...TERMS, pins: [FIRST] }));
    const change = compareKeyPolicies(before, keyPolicy({ ...TERMS, pins: [SECOND] }), ALICE_KEY);
    expect(change.pinsAdded).toEqual([SECOND]);
    expect(change.pinsRemoved).toEqual([FIRST]);
    expect(change.statementsAdded).toEqual([]);
    expect(change.statementsChanged).toContain('DenyUseOutsideThePinnedImages');
    const first = compareKeyPolicies(
      '{"Statement":[{"Sid":"Enable IAM User Permissions"}]}',
      keyPolicy(TERMS),
      ALICE_KEY,
    );
    expect(first.statementsRemoved).toEqual(['Enable IAM User Permissions']);
    expect(first.pinsAdded).toEqual([FIRST, SECOND]);
  });
});
