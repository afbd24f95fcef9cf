import type { Principal } from './iam/principal.ts';
import { principalArn } from './iam/principal.ts';

/** Condition keys that every request carries. */
export function factsOfCall(
  { sourceIp }: { readonly sourceIp: string },
  { principal, region }: { readonly principal: Principal; readonly region: string },
  userAgent: string,
  now: number,
): ReadonlyMap<string, readonly string[]> {
  const facts: readonly (readonly [string, string])[] = [
    ['aws:PrincipalArn', principalArn(principal)],
    ['aws:PrincipalAccount', principal.account],
    ['aws:PrincipalType', principal.kind === 'user' ? 'User' : 'AssumedRole'],
    ['aws:PrincipalIsAWSService', 'false'],
    ['aws:ViaAWSService', 'false'],
    ['aws:userid', principal.userId],
    ['aws:CurrentTime', new Date(now).toISOString()],
    ['aws:EpochTime', String(Math.floor(now / 1000))],
    ['aws:RequestedRegion', region],
    ['aws:SecureTransport', 'true'],
    ['s3:TlsVersion', '1.3'],
    ['aws:SourceIp', sourceIp],
    ['aws:UserAgent', userAgent],
    ['kms:CallerAccount', principal.account],
  ];
  const own: readonly (readonly [string, string])[] =
    principal.kind === 'user'
      ? [['aws:username', principal.userName]]
      : [
          ['aws:TokenIssueTime', new Date(principal.issuedAt).toISOString()],
          ['aws:MultiFactorAuthPresent', 'false'],
        ];
  return new Map([...facts, ...own].map(([key, value]) => [key.toLowerCase(), [value]]));
}
