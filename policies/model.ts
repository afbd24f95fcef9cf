/**
 * The agreement, as types. Two shapes exist and never mix:
 *
 * - `Policy`: what the parties wrote (composed, defaults filled in), with KMS key ARNs in the clear.
 * - `CanonicalPolicy`: what the image carries, is measured and is digested. Every ARN is replaced by its Region and
 *   its hash, so that a published policy prints no key ARNs.
 *
 * Sizes are bytes, durations are milliseconds. Names match `NAME_PATTERN` of name.ts.
 */

export type Role = 'data-owner' | 'model-owner' | 'coordinator';

export const FUNCTION_KINDS = ['image-classification', 'object-detection'] as const;
export type FunctionKind = (typeof FUNCTION_KINDS)[number];

export interface Party {
  readonly role: Role;
  readonly kmsKeyArn: string;
}

export interface CanonicalParty {
  readonly role: Role;
  readonly kmsKey: {
    /** AWS Region of the key, for example `eu-west-1`; the relay's allow-list follows from it. */
    readonly region: string;
    /** Lower-case hex of SHA-256("accord/v1/kms-key-arn" || 0x00 || ARN). */
    readonly arnHash: string;
  };
}

export interface FunctionPolicy {
  readonly uses: FunctionKind;
  /** Name of the party that contributes the weights, and optionally the SHA-256 (hex) the model must have. */
  readonly model: { readonly from: string; readonly sha256?: string };
  /** Calls each party may make. A party that is absent may not call at all. */
  readonly calls: Readonly<Record<string, number>>;
  readonly input: { readonly maxBytes: number };
  readonly output: {
    /** At most so many entries in an answer (classification: labels; detection: objects). */
    readonly topK: number;
    /** Digits after the decimal point of every number in an answer, 0 to 6. */
    readonly decimals: number;
  };
  readonly release: {
    /** Every answer and every refusal is padded to exactly so many bytes before it is sealed. */
    readonly padTo: number;
  };
}

/** Where trust ends outside of the parties. `aws` is the default; anything else is a weakening that is always named. */
export type Trust = 'aws' | LocalTrust;

export interface LocalTrust {
  /** SHA-256 (hex) of the DER of the root that signs attestation documents. */
  readonly attestationRoot: string;
  /** SHA-256 (hex) of the DER of each root that TLS servers may chain to. */
  readonly tlsRoots: readonly string[];
  /** URL templates; `{region}` is replaced by the key's Region, for example `https://kms.{region}.accord.test`. */
  readonly endpoints: { readonly kms: string; readonly sts: string };
}

interface Agreement {
  readonly apiVersion: 'accord/v1';
  readonly collaboration: string;
  /** ISO date (UTC). Calls are served to the end of this day by the NSM's clock, and refused afterwards. */
  readonly until: string;
  readonly functions: Readonly<Record<string, FunctionPolicy>>;
  readonly anchors: 'none';
  readonly enclave: { readonly memoryMiB: number; readonly cpus: number };
  readonly trust: Trust;
}

export interface Policy extends Agreement {
  readonly parties: Readonly<Record<string, Party>>;
}

export interface CanonicalPolicy extends Agreement {
  readonly parties: Readonly<Record<string, CanonicalParty>>;
}

/** SHA-384 of the canonical policy's bytes (RFC 8785), lower-case hex, 96 characters. */
export type PolicyDigest = string & { readonly __brand: 'PolicyDigest' };
