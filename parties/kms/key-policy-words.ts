/** A key policy of ours in plain words: who may do what with the key, and what follows from it that nobody can close. */
import type { KeyPolicyTerms, Pin } from './key-policy.ts';

/** One sentence or two each, for a person who has not read the policy. */
export function describeKeyPolicy(terms: KeyPolicyTerms): readonly string[] {
  const { pins, callerArn, contributorArn, account } = terms;
  return [
    ...pins.map(
      ({ pcr0, policyDigest }) =>
        `The image ${short(pcr0)} opens what was encrypted for policy ${short(policyDigest)}, makes that collaboration's state keys, and nothing else does either.`,
    ),
    ...describeSuccessions(pins),
    `${callerArn} opens sessions as the party.`,
    `${contributorArn} makes data keys for models, inputs and the credentials of anchors, and so knows them; nobody makes one for state outside of the images above.`,
    ...describeRoles(terms),
    `Whoever may put this key's policy can open the key: everybody in account ${account} whom IAM allows kms:PutKeyPolicy.`,
  ];
}

/** Nothing where no image takes over another's state. */
export function describeSuccessions(pins: readonly Pin[]): readonly string[] {
  return pins.flatMap((pin) => describeSuccession(pin, pins));
}

function describeSuccession({ pcr0, succeeds }: Pin, pins: readonly Pin[]): readonly string[] {
  if (succeeds === undefined) return [];
  const predecessors = pins.filter(({ policyDigest }) => policyDigest === succeeds).map((pin) => short(pin.pcr0));
  return [
    `HAND-OVER: the image ${short(pcr0)} may also open the state keys of policy ${short(succeeds)}, which ${predecessors.join(' and ')} made: it reads all that the collaboration remembers. It makes none under that policy, and opens none of its sessions, inputs, models or credentials.`,
    `Both images open that state until the policy is written again without the old one: do so when the new one has closed it.`,
  ];
}

/** Whose credentials the enclave uses decides who can let it open without the party, and never what it is. */
function describeRoles({ enclaveRoleArn, hostRoleArn, account }: KeyPolicyTerms): readonly string[] {
  const own = isOfAccount(enclaveRoleArn, account);
  return [
    own
      ? `An enclave calls with ${enclaveRoleArn}, a role of this account: it opens when one of your sessions has brought its credentials.`
      : describeForeign(enclaveRoleArn),
    ...(hostRoleArn === undefined ? [] : [describeForeign(hostRoleArn)]),
  ];
}

/** The same, where one of them is not of the party's account: what it should hear before it says yes. */
export function describeForeignRoles({ enclaveRoleArn, hostRoleArn, account }: KeyPolicyTerms): readonly string[] {
  const foreign = isOfAccount(enclaveRoleArn, account) ? [] : [enclaveRoleArn];
  return [...foreign, ...(hostRoleArn === undefined ? [] : [hostRoleArn])].map(describeForeign);
}

function describeForeign(arn: string): string {
  return `An enclave may call with ${arn}, a role of ANOTHER account (${arn.split(':')[4]}): whoever may assume it there starts the images above and has them open this key without you, at any time. What they open stays inside the images; to withdraw, change this policy or disable the key.`;
}

function isOfAccount(arn: string, account: string): boolean {
  return arn.split(':')[4] === account;
}

function short(hex: string): string {
  return `${hex.slice(0, 16)}…`;
}
