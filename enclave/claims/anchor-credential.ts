/**
 * The credential with which the enclave writes to a party's anchor: a user that may do nothing else. Its owner encrypts
 * it for the enclave alone, like a model, with a purpose of its own; the host keeps the ciphertext as `anchor.<party>`.
 *
 *     JSON  { "accessKeyId": text[1..128], "secretAccessKey": text[1..256] }     at most 4 KiB
 */
import { Failure } from '../../policies/failure.ts';

export type AnchorCredentialCode = 'anchor-credential/malformed';

export interface AnchorCredential {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export const ANCHOR_CREDENTIAL_BYTES = 4096;

/** What the host keeps it as. No function has a dot in its name. */
export function anchorContribution(party: string): string {
  return `anchor.${party}`;
}

export function parseAnchorCredential(bytes: Uint8Array): AnchorCredential {
  if (bytes.length > ANCHOR_CREDENTIAL_BYTES) throw malformed();
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw malformed();
  }
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) throw malformed();
  if (!('accessKeyId' in value) || !('secretAccessKey' in value)) throw malformed();
  return {
    accessKeyId: textOf(value.accessKeyId, 128),
    secretAccessKey: textOf(value.secretAccessKey, 256),
  };
}

function textOf(value: unknown, max: number): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > max) throw malformed();
  return value;
}

function malformed(): Failure<AnchorCredentialCode> {
  return new Failure('malformed', 'anchor-credential/malformed', "an anchor's credential is not one", {
    hint: 'contribute it again with `accord anchor`',
  });
}
