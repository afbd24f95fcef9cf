import { Failure } from './failure.ts';
import type { PolicyCode } from './fault.ts';

export interface KmsKeyArn {
  readonly partition: string;
  readonly region: string;
  /** Twelve digits. */
  readonly account: string;
  /** A UUID in lower case. */
  readonly keyId: string;
}

export interface ArnFault {
  readonly code: 'policy/bad-arn' | 'policy/arn-alias' | 'policy/arn-multi-region';
  readonly message: string;
  readonly hint: string;
}

/** Which Regions belong to which partition, by the beginning of their names. Nitro Enclaves and KMS exist in these. */
const PARTITIONS: ReadonlyMap<string, RegExp> = new Map([
  ['aws', /^(?!cn-|us-gov-|us-iso)/],
  ['aws-cn', /^cn-/],
  ['aws-us-gov', /^us-gov-/],
]);

const DIRECTIONS = 'north|south|east|west|central|northeast|northwest|southeast|southwest';
/** `eu-west-1`, `ap-southeast-2`, `us-gov-east-1`. */
export const REGION_PATTERN: string = `^[a-z]{2}(-gov)?-(${DIRECTIONS})-[1-9][0-9]?$`;
const REGION = new RegExp(REGION_PATTERN);
const KEY_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const EXAMPLE = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

/** For the JSON Schema, and exactly what `parseKmsKeyArn` takes but for the match of Region and partition. */
export const KMS_KEY_ARN_PATTERN: string =
  `^arn:(aws|aws-cn|aws-us-gov):kms:[a-z]{2}(-gov)?-(${DIRECTIONS})-[1-9][0-9]?:[0-9]{12}:key/` +
  '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

/**
 * The full ARN of one single-Region key. An alias can be pointed at another key, and a multi-Region key (`mrk-`) has
 * replicas with policies of their own: neither names the one key whose policy the parties read.
 * @throws Failure `malformed`, code `policy/bad-arn`, `policy/arn-alias` or `policy/arn-multi-region`
 */
export function parseKmsKeyArn(arn: string): KmsKeyArn {
  const result = inspectKmsKeyArn(arn);
  if ('keyId' in result) return result;
  throw new Failure<PolicyCode>('malformed', result.code, result.message, { hint: result.hint });
}

export function inspectKmsKeyArn(arn: string): KmsKeyArn | ArnFault {
  if (arn.length > 256) return bad('the text is longer than any KMS key ARN');
  if (arn.startsWith('alias/') || arn.includes(':alias/')) {
    return {
      code: 'policy/arn-alias',
      message: 'this is an alias, which its owner can point at another key',
      hint: 'name the key itself; `aws kms describe-key --key-id alias/… --query KeyMetadata.Arn` prints its ARN',
    };
  }
  const [scheme, partition = '', service, region = '', account = '', resource = '', ...rest] = arn.split(':');
  if (scheme !== 'arn' || rest.length > 0) return bad('this is not a full ARN');
  const regions = PARTITIONS.get(partition);
  if (regions === undefined) return bad(`there is no partition ${quote(partition)} with Nitro Enclaves`);
  if (service !== 'kms') return bad(`this names a resource of ${quote(service ?? '')}, not of kms`);
  if (!REGION.test(region)) return bad(`${quote(region)} is not an AWS Region`);
  if (!regions.test(region)) return bad(`Region ${region} is not in partition ${partition}`);
  if (!/^[0-9]{12}$/.test(account)) return bad(`${quote(account)} is not an account id (twelve digits)`);
  if (!resource.startsWith('key/')) return bad(`${quote(resource)} is not a key; it begins with key/`);
  const keyId = resource.slice('key/'.length);
  if (keyId.startsWith('mrk-')) {
    return {
      code: 'policy/arn-multi-region',
      message: 'this is a multi-Region key, whose replicas have key policies of their own',
      hint: 'create a single-Region key: `aws kms create-key` without --multi-region',
    };
  }
  if (!KEY_ID.test(keyId)) return bad(`${quote(keyId)} is not a key id (a UUID in lower case)`);
  return { partition, region, account, keyId };
}

/** `aws`, `aws-cn` or `aws-us-gov`: an account lives in one of them. */
export function partitionOf(region: string): string {
  for (const [partition, regions] of PARTITIONS) if (regions.test(region)) return partition;
  return 'aws';
}

function bad(message: string): ArnFault {
  return { code: 'policy/bad-arn', message, hint: `a full key ARN looks like ${EXAMPLE}` };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
