/** Which key a KeyId means: a key ARN, or the bare id of a key in the caller's own account. */
import { createHmac } from 'node:crypto';
import { keyArn } from '../accounts.ts';
import { AwsError } from '../errors.ts';
import { parseArn } from '../iam/arn.ts';
import type { KmsKey, State } from '../state.ts';
import { findKey } from '../state.ts';
import type { KmsCall } from './call.ts';

export const KEY_ID = { min: 1, max: 2048 } as const;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The ARN that a KeyId stands for; whether there is such a key is not asked yet. */
export function resolveKeyArn(keyId: string, call: Pick<KmsCall, 'principal' | 'region'>): string {
  const { principal, region } = call;
  if (UUID.test(keyId)) return keyArn(region, principal.account, keyId);
  if (keyId.startsWith('alias/')) throw aliasNotFound(`arn:aws:kms:${region}:${principal.account}:${keyId}`);
  const arn = parseArn(keyId);
  if (arn === undefined) throw new AwsError('NotFoundException', `Invalid keyId '${keyId}'`);
  if (arn.service !== 'kms' || arn.partition !== 'aws') throw new AwsError('NotFoundException', `Invalid arn ${keyId}`);
  if (arn.region !== region) throw new AwsError('NotFoundException', `Invalid arn ${arn.region}`);
  if (arn.resource.startsWith('alias/')) throw aliasNotFound(keyId);
  if (!arn.resource.startsWith('key/')) throw new AwsError('NotFoundException', `Invalid arn ${keyId}`);
  return keyId;
}

/** Aliases are not part of AWS in miniature, so none exists: a policy of Accord names its keys by full ARN. */
function aliasNotFound(arn: string): AwsError {
  return new AwsError('NotFoundException', `Alias ${arn} is not found.`);
}

export function keyNotFound(arn: string): AwsError {
  return new AwsError('NotFoundException', `Key '${arn}' does not exist`);
}

/** The key as it is now: one whose waiting time before deletion has passed is gone. */
export function liveKey(state: State, arn: string, now: number): KmsKey | undefined {
  const key = findKey(state, arn);
  return key?.deleteAt !== undefined && key.deleteAt <= now ? undefined : key;
}

export function liveKeys(state: State, now: number): readonly KmsKey[] {
  return state.keys.filter(({ arn }) => liveKey(state, arn, now) !== undefined);
}

/** Names the key material without telling of it: 64 hexadecimal digits, as KMS has them. Keys are not rotated here. */
export function materialId(key: KmsKey): string {
  return createHmac('sha256', Buffer.from(key.material, 'base64'))
    .update('accord/v1/local-kms/material-id')
    .digest('hex');
}
