/**
 * The key policy: the one document behind "only the enclave can decrypt". It is written so that nothing depends on what IAM
 * or a grant says, because an explicit Deny beats both; and so that whatever an attacker leaves out of a request counts
 * against it, because a negated operator matches where the key is absent.
 *
 * Each statement names the way around that it closes. Rows of `test/parties/kms/key-policy.test.ts` try them all.
 */
import { CONTEXT_KEYS } from '../../enclave/protocol/context.ts';
import type { Purpose } from '../../enclave/protocol/context.ts';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';

export type KeyPolicyCode =
  | 'key-policy/pin' // not a measurement or digest at all
  | 'key-policy/pin-zero' // what every enclave in debug mode attests
  | 'key-policy/pin-conflict' // one image, two agreements
  | 'key-policy/succession' // a predecessor that is not pinned, or that is the image itself
  | 'key-policy/no-pin'
  | 'key-policy/principal'
  | 'key-policy/roles' // two roles that must not be the same
  | 'key-policy/size';

/** One image and the agreement that it carries. */
export interface Pin {
  /** PCR0, 96 hexadecimal digits. */
  readonly pcr0: string;
  /** Digest of the policy, 96 hexadecimal digits. */
  readonly policyDigest: string;
  /** Digest of the policy whose state this image takes over; an image under it must be pinned too. */
  readonly succeeds?: string;
}

export interface KeyPolicyTerms {
  readonly keyArn: string;
  /** Twelve digits; must be the key's. */
  readonly account: string;
  readonly pins: readonly Pin[];
  /** With whose credentials the enclave calls KMS in a session of the party. */
  readonly enclaveRoleArn: string;
  /** A role of the host's, with which the enclave opens its state while the party is away. */
  readonly hostRoleArn?: string;
  /** Who opens sessions: may encrypt their challenges. */
  readonly callerArn: string;
  /** Who contributes: may make data keys for inputs, models and the credentials of anchors. */
  readonly contributorArn: string;
}

type Condition = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

export interface KeyPolicyStatement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal: '*' | { readonly AWS: string | readonly string[] };
  readonly Action: string | readonly string[];
  readonly Resource: '*';
  readonly Condition?: Condition;
}

export interface KeyPolicy {
  readonly Version: '2012-10-17';
  readonly Id: string;
  readonly Statement: readonly KeyPolicyStatement[];
}

/** 32 KiB: KMS takes no larger key policy. */
export const MAX_KEY_POLICY_BYTES = 32_768;

export const KEY_POLICY_ID = 'accord-key-policy-v1';

/** The condition keys that the policy is about. */
export const CONDITION_KEYS: Readonly<
  Record<'image' | 'agreement' | 'purpose' | 'contextNames' | 'principal', string>
> = {
  image: 'kms:RecipientAttestation:ImageSha384',
  agreement: `kms:EncryptionContext:${CONTEXT_KEYS.policy}`,
  purpose: `kms:EncryptionContext:${CONTEXT_KEYS.purpose}`,
  contextNames: 'kms:EncryptionContextKeys',
  principal: 'aws:PrincipalArn',
};

const {
  image: IMAGE,
  agreement: AGREEMENT,
  purpose: PURPOSE,
  contextNames: CONTEXT_NAMES,
  principal: PRINCIPAL,
} = CONDITION_KEYS;

const TO_CONTRIBUTE: readonly Purpose[] = ['input', 'model', 'anchor'];
/** What an image's own state is wrapped with: no data key for it is known outside of an enclave. */
const TO_KEEP: Purpose = 'state';
export const TO_CALL: Purpose = 'session';
/** Wherever GenerateDataKey is meant, its sibling without plaintext is too. */
export const DATA_KEYS: readonly string[] = ['kms:GenerateDataKey', 'kms:GenerateDataKeyWithoutPlaintext'];

/** Only what an owner needs to look after the key; never `kms:*`, with which IAM could allow Decrypt. */
const ADMINISTRATION = [
  'kms:DescribeKey',
  'kms:GetKeyPolicy',
  'kms:GetKeyRotationStatus',
  'kms:ListGrants',
  'kms:ListKeyPolicies',
  'kms:ListResourceTags',
  'kms:PutKeyPolicy',
  'kms:EnableKey',
  'kms:DisableKey',
  'kms:RevokeGrant',
  'kms:ScheduleKeyDeletion',
  'kms:CancelKeyDeletion',
  'kms:TagResource',
  'kms:UntagResource',
];

/** The policy for these terms. Throws `Failure<KeyPolicyCode>` for terms that would not protect anything. */
export function keyPolicy(terms: KeyPolicyTerms): KeyPolicy {
  const pins = checkedPins(terms.pins);
  checkPrincipals(terms);
  return {
    Version: '2012-10-17',
    Id: KEY_POLICY_ID,
    Statement: [...denials(terms, pins), ...permissions(terms, pins)],
  };
}

/** As it is put: readable where it fits, else without white space. Throws `key-policy/size`. */
export function keyPolicyText(policy: KeyPolicy): string {
  const readable = JSON.stringify(policy, null, 2);
  if (readable.length <= MAX_KEY_POLICY_BYTES) return readable;
  const dense = JSON.stringify(policy);
  if (dense.length <= MAX_KEY_POLICY_BYTES) return dense;
  throw new Failure<KeyPolicyCode>(
    'refused',
    'key-policy/size',
    `the key policy would have ${dense.length} bytes; KMS takes ${MAX_KEY_POLICY_BYTES}`,
    { hint: 'pin fewer images: leave out --add and name only those that still run' },
  );
}

function denials(terms: KeyPolicyTerms, pins: readonly Pin[]): readonly KeyPolicyStatement[] {
  const otherImage = { [IMAGE]: pins.map(({ pcr0 }) => pcr0) };
  return [
    // Attack: the owner, an IAM administrator, the host's role or a grantee decrypts outside any enclave. Without a valid
    // attestation document the key is absent, and the negated operator matches. Key pairs would hand out a private key.
    deny('DenyUseOutsideThePinnedImages', ['kms:Decrypt', 'kms:GenerateDataKeyPair*', 'kms:DeriveSharedSecret'], {
      StringNotEqualsIgnoreCase: otherImage,
    }),
    // Attack: an image pinned for one agreement opens what was encrypted for another.
    ...pins.flatMap(denyOtherAgreements),
    denyTheUnattestable(),
    // Attack: a data key whose plaintext is known outside the enclave, for a purpose that the enclave keeps for itself.
    deny('DenyUnattestedDataKeysForOtherPurposes', DATA_KEYS, {
      StringNotEqualsIgnoreCase: otherImage,
      StringNotEquals: { [PURPOSE]: TO_CONTRIBUTE },
    }),
    // Attack: somebody else contributes in the party's name.
    deny('DenyUnattestedDataKeysToOthers', DATA_KEYS, {
      StringNotEqualsIgnoreCase: otherImage,
      ArnNotEquals: { [PRINCIPAL]: terms.contributorArn },
    }),
    // Attack: Encrypt wraps a chosen data key, which the enclave would then take for its own or the party's.
    deny('DenyEncryptForOtherPurposes', ['kms:Encrypt'], { StringNotEquals: { [PURPOSE]: TO_CALL } }),
    // Attack: somebody else answers a session's challenge and calls in the party's name.
    deny('DenyEncryptToOthers', ['kms:Encrypt'], { ArnNotEquals: { [PRINCIPAL]: terms.callerArn } }),
    denyForeignContexts(),
  ];
}

function denyOtherAgreements(pin: Pin, index: number): readonly KeyPolicyStatement[] {
  const { pcr0, policyDigest, succeeds } = pin;
  const image = { StringEqualsIgnoreCase: { [IMAGE]: pcr0 } };
  const name = `DenyImage${index + 1}`;
  if (succeeds === undefined) {
    const actions = ['kms:Decrypt', 'kms:GenerateDataKey'];
    return [
      deny(`${name}UnderAnotherAgreement`, actions, { ...image, StringNotEquals: { [AGREEMENT]: policyDigest } }),
    ];
  }
  return [
    deny(`${name}UnderAnotherAgreement`, ['kms:Decrypt'], {
      ...image,
      StringNotEquals: { [AGREEMENT]: [policyDigest, succeeds] },
    }),
    // Attack: the successor makes a state key under the old agreement, and with it a second state beside the one handed over.
    deny(`${name}KeysUnderAnotherAgreement`, ['kms:GenerateDataKey'], {
      ...image,
      StringNotEquals: { [AGREEMENT]: policyDigest },
    }),
    // Attack: the successor opens what was given to its predecessor alone: sessions, inputs, credentials.
    deny(`${name}ButForStateOfItsPredecessor`, ['kms:Decrypt'], {
      StringEqualsIgnoreCase: { [IMAGE]: pcr0 },
      StringEquals: { [AGREEMENT]: succeeds },
      StringNotEquals: { [PURPOSE]: TO_KEEP },
    }),
  ];
}

/**
 * Attack: re-encrypt to a key of one's own (no attestation exists for it), or from one; hand the right on by a grant; make a
 * replica with a policy of its own.
 */
export function denyTheUnattestable(): KeyPolicyStatement {
  const actions = ['kms:ReEncrypt*', 'kms:CreateGrant', 'kms:ReplicateKey', 'kms:UpdatePrimaryRegion'];
  return deny('DenyWhatCannotBeAttested', actions);
}

/**
 * Attack: the same name once more in other letters. Names of condition keys are compared without regard to case, those of
 * an encryption context with it: `Accord:Purpose` could satisfy a condition and still be another context.
 */
export function denyForeignContexts(): KeyPolicyStatement {
  return deny('DenyForeignEncryptionContexts', ['kms:Encrypt', ...DATA_KEYS], {
    'ForAnyValue:StringNotEquals': { [CONTEXT_NAMES]: Object.values(CONTEXT_KEYS) },
  });
}

function permissions(terms: KeyPolicyTerms, pins: readonly Pin[]): readonly KeyPolicyStatement[] {
  const { enclaveRoleArn, hostRoleArn } = terms;
  const roles = hostRoleArn === undefined ? enclaveRoleArn : [enclaveRoleArn, hostRoleArn];
  return [
    ...pins.flatMap(({ pcr0, policyDigest, succeeds }, index) => {
      const image = { StringEqualsIgnoreCase: { [IMAGE]: pcr0 } };
      const own = allow(`AllowImage${index + 1}`, roles, ['kms:Decrypt', 'kms:GenerateDataKey'], {
        ...image,
        StringEquals: { [AGREEMENT]: policyDigest },
      });
      if (succeeds === undefined) return [own];
      return [
        own,
        allow(`AllowImage${index + 1}ToSucceed`, roles, 'kms:Decrypt', {
          ...image,
          StringEquals: { [AGREEMENT]: succeeds, [PURPOSE]: TO_KEEP },
        }),
      ];
    }),
    allow('AllowTheCaller', terms.callerArn, 'kms:Encrypt', { StringEquals: { [PURPOSE]: TO_CALL } }),
    allow('AllowTheContributor', terms.contributorArn, 'kms:GenerateDataKey', {
      StringEquals: { [PURPOSE]: TO_CONTRIBUTE },
    }),
    allowAdministration(terms),
  ];
}

export function allowAdministration(terms: Pick<KeyPolicyTerms, 'keyArn' | 'account'>): KeyPolicyStatement {
  return allow('AllowAdministration', rootArn(terms), ADMINISTRATION);
}

export function deny(Sid: string, Action: readonly string[], condition?: Condition): KeyPolicyStatement {
  const statement = { Sid, Effect: 'Deny', Principal: '*', Action, Resource: '*' } as const;
  return condition === undefined ? statement : { ...statement, Condition: condition };
}

export function allow(
  Sid: string,
  principal: string | readonly string[],
  Action: string | readonly string[],
  condition?: Condition,
): KeyPolicyStatement {
  const statement = { Sid, Effect: 'Allow', Principal: { AWS: principal }, Action, Resource: '*' } as const;
  return condition === undefined ? statement : { ...statement, Condition: condition };
}

function rootArn({ keyArn, account }: Pick<KeyPolicyTerms, 'keyArn' | 'account'>): string {
  return `arn:${parseKmsKeyArn(keyArn).partition}:iam::${account}:root`;
}

/** Lower case, without repetition, in the order given. */
export function checkedPins(pins: readonly Pin[]): readonly Pin[] {
  const byImage = new Map<string, Pin>();
  for (const given of pins) {
    const own = { pcr0: digest(given.pcr0, 'PCR0'), policyDigest: digest(given.policyDigest, 'policy digest') };
    const { succeeds } = given;
    const pin: Pin =
      succeeds === undefined ? own : { ...own, succeeds: digest(succeeds, "the predecessor's policy digest") };
    const before = byImage.get(pin.pcr0);
    if (before !== undefined && before.policyDigest !== pin.policyDigest) {
      // The policy is measured into the image: two digests for one PCR0 means that one of them is wrong.
      throw new Failure<KeyPolicyCode>(
        'refused',
        'key-policy/pin-conflict',
        'the same PCR0 is given with two policy digests; an image carries one policy',
        { where: pin.pcr0, hint: 'take both from the same measurements.json' },
      );
    }
    byImage.set(pin.pcr0, pin);
  }
  if (byImage.size === 0) {
    throw new Failure<KeyPolicyCode>('usage', 'key-policy/no-pin', 'no image is named to which the key shall open', {
      hint: 'give --measurements FILE, or --pcr0 with --policy-digest',
    });
  }
  const checked = [...byImage.values()];
  for (const pin of checked) checkSuccession(pin, checked);
  return checked;
}

/** Both measurements stand in the policy while one hands over to the other. */
function checkSuccession({ pcr0, policyDigest, succeeds }: Pin, pins: readonly Pin[]): void {
  if (succeeds === undefined) return;
  const fault =
    succeeds === policyDigest
      ? 'an image cannot succeed one with its own policy'
      : pins.some((other) => other.policyDigest === succeeds)
        ? undefined
        : 'the predecessor is not pinned: it must still be able to open its state until it is closed';
  if (fault === undefined) return;
  throw new Failure<KeyPolicyCode>('refused', 'key-policy/succession', fault, {
    where: pcr0,
    hint: 'name the measurements of the image that hands over with --succeed',
  });
}

function digest(text: string, what: string): string {
  if (!/^[0-9a-f]{96}$/i.test(text)) {
    throw new Failure<KeyPolicyCode>('malformed', 'key-policy/pin', `${what} is not 96 hexadecimal digits (SHA-384)`, {
      where: text.slice(0, 100),
      hint: 'accord measure FILE.eif --json prints PCR0; accord build writes both to measurements.json',
    });
  }
  if (/^0+$/.test(text)) {
    throw new Failure<KeyPolicyCode>(
      'refused',
      'key-policy/pin-zero',
      `${what} is all zeros: every enclave in debug mode attests that, whatever it runs`,
      { hint: 'pin the PCR0 of the image as `accord measure` computes it' },
    );
  }
  return text.toLowerCase();
}

export function checkPrincipals(terms: Omit<KeyPolicyTerms, 'pins'>): void {
  const { keyArn, account, enclaveRoleArn, hostRoleArn, callerArn, contributorArn } = terms;
  const key = parseKmsKeyArn(keyArn);
  if (key.account !== account) {
    throw wrongPrincipal(`the key is in account ${key.account}, not in ${account}`, keyArn, 'use a key of your own');
  }
  for (const [name, arn, shape] of [
    ['the enclave role', enclaveRoleArn, /^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/],
    ["the host's role", hostRoleArn ?? enclaveRoleArn, /^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/],
    ['the caller', callerArn, /^arn:[a-z-]+:iam::\d{12}:(user|role)\/[\w+=,.@/-]+$/],
    ['the contributor', contributorArn, /^arn:[a-z-]+:iam::\d{12}:(user|role)\/[\w+=,.@/-]+$/],
  ] as const) {
    const isEnclaves = name === 'the enclave role' || name === "the host's role";
    if (!shape.test(arn)) {
      const sort = isEnclaves ? 'role' : 'user or role';
      throw wrongPrincipal(
        `${name} is not the ARN of an IAM ${sort}`,
        arn,
        `write arn:aws:iam::ACCOUNT:role/NAME; a session (assumed-role) or the account's root is not accepted`,
      );
    }
    // The enclave's may be the host's: attestation decides what its credentials are worth. Who speaks for the party may not.
    if (!isEnclaves && arn.split(':')[4] !== account) {
      throw wrongPrincipal(
        `${name} is not in the key's account ${account}`,
        arn,
        'name a principal of your own account',
      );
    }
  }
  // The enclave's credentials travel through the host in a sealed session. Who got hold of them must still not be able to
  // open a session or to contribute as the party.
  const taken = [enclaveRoleArn, hostRoleArn].find((arn) => arn === callerArn || arn === contributorArn);
  if (taken !== undefined) {
    throw new Failure<KeyPolicyCode>(
      'refused',
      'key-policy/roles',
      'the enclave role is also the caller or the contributor: whoever holds its credentials could act as the party',
      { where: taken, hint: 'give the enclave a role of its own (--enclave-role)' },
    );
  }
}

function wrongPrincipal(message: string, where: string, hint: string): Failure<KeyPolicyCode> {
  return new Failure('refused', 'key-policy/principal', message, { where, hint });
}
