/**
 * The condition keys that requests here can carry. A policy that names any other is refused when it is put, because a key
 * that is never filled in would make an Allow dead and a Deny with a negated operator deaf or deadly, without a word.
 */

/** Lower case: names of condition keys are compared without regard to case. */
const EXACT: ReadonlySet<string> = new Set(
  [
    // Every request (IAM User Guide, global condition keys).
    'aws:CurrentTime',
    'aws:EpochTime',
    'aws:PrincipalAccount',
    'aws:PrincipalArn',
    'aws:PrincipalIsAWSService',
    'aws:PrincipalType',
    'aws:RequestedRegion',
    'aws:ResourceAccount',
    'aws:SecureTransport',
    'aws:SourceIp',
    'aws:UserAgent',
    'aws:userid',
    'aws:username',
    'aws:ViaAWSService',
    'aws:TokenIssueTime',
    'aws:MultiFactorAuthPresent',
    // Known, and absent from every request here: no organisation, no service calls on another's behalf, no tags, no VPC.
    'aws:CalledVia',
    'aws:CalledViaFirst',
    'aws:CalledViaLast',
    'aws:PrincipalOrgID',
    'aws:PrincipalOrgPaths',
    'aws:PrincipalServiceName',
    'aws:SourceAccount',
    'aws:SourceArn',
    'aws:SourceOrgID',
    'aws:SourceVpc',
    'aws:SourceVpce',
    'aws:VpcSourceIp',
    // KMS Developer Guide, condition keys.
    'kms:BypassPolicyLockoutSafetyCheck',
    'kms:CallerAccount',
    'kms:EncryptionAlgorithm',
    'kms:EncryptionContextKeys',
    'kms:GrantConstraintType',
    'kms:GrantIsForAWSResource',
    'kms:GrantOperations',
    'kms:GranteePrincipal',
    'kms:KeyOrigin',
    'kms:KeySpec',
    'kms:KeyUsage',
    'kms:MultiRegion',
    'kms:MultiRegionKeyType',
    'kms:ReEncryptOnSameKey',
    'kms:RequestAlias',
    'kms:ResourceAliases',
    'kms:RetiringPrincipal',
    'kms:ScheduleKeyDeletionPendingWindowInDays',
    'kms:ViaService',
    'kms:RecipientAttestation:ImageSha384',
    // S3 (service authorization reference). Versions, tags, ACLs, encryption: absent from every request here.
    's3:authType',
    's3:delimiter',
    's3:if-none-match',
    's3:LocationConstraint',
    's3:max-keys',
    's3:object-lock-legal-hold',
    's3:object-lock-mode',
    's3:object-lock-remaining-retention-days',
    's3:object-lock-retain-until-date',
    's3:prefix',
    's3:ResourceAccount',
    's3:signatureversion',
    's3:TlsVersion',
    's3:VersionId',
    's3:x-amz-content-sha256',
    // STS.
    'sts:ExternalId',
    'sts:RoleSessionName',
    'sts:SourceIdentity',
  ].map((key) => key.toLowerCase()),
);

const FAMILIES: readonly RegExp[] = [
  /^kms:encryptioncontext:.+$/s,
  /^kms:recipientattestation:pcr([0-9]|[12][0-9]|3[01])$/,
  /^aws:(principaltag|requesttag|resourcetag)\/.+$/s,
];

/** Case does not matter, as in AWS. */
export function isKnownConditionKey(key: string): boolean {
  const lower = key.toLowerCase();
  return EXACT.has(lower) || FAMILIES.some((family) => family.test(lower));
}
