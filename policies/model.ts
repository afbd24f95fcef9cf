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

export const FUNCTION_KINDS = ['image-classification', 'object-detection', 'decision-tree', 'counter'] as const;
export type FunctionKind = (typeof FUNCTION_KINDS)[number];
/** Kinds that compute on a picture with a contributed ONNX model. */
export type PictureFunctionKind = 'image-classification' | 'object-detection';
/** Kinds that compute with a contributed model. */
export type ModelFunctionKind = PictureFunctionKind | 'decision-tree';

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

/** What holds of a function of any kind. */
export interface FunctionTerms {
  /** Calls each party may make. A party that is absent may not call at all. */
  readonly calls: Readonly<Record<string, number>>;
  readonly input: {
    readonly maxBytes: number;
    /** The host sees an input's size as the smallest of these that holds it. Ascending; the last is `maxBytes`. */
    readonly buckets: readonly number[];
  };
  readonly release: {
    /** Every answer and every refusal leaves so long after its request arrived; 0: when it is ready. */
    readonly afterMs: number;
    /** Every answer and every refusal is padded to exactly so many bytes before it is sealed. */
    readonly padTo: number;
  };
  /** The answers to all calls of one party may carry at most so many bits; a policy whose calls could carry more is refused. */
  readonly answerBits?: number;
}

/** Name of the party that contributes the weights, and optionally the SHA-256 (hex) the model must have. */
export interface ContributedModel {
  readonly from: string;
  readonly sha256?: string;
}

export interface PicturePolicy extends FunctionTerms {
  readonly uses: PictureFunctionKind;
  readonly model: ContributedModel;
  readonly output: {
    /** At most so many entries in an answer (classification: labels; detection: objects). */
    readonly topK: number;
    /** Digits after the decimal point of every number in an answer, 0 to 6. */
    readonly decimals: number;
    /** Most labels that the model may have; 1000 where it is absent. */
    readonly labels?: number;
  };
}

/** Bounds that every tree is padded to: time and memory follow from them alone, and never from the tree. */
export interface TreeBounds {
  /** Decisions on the way from the root to a leaf. */
  readonly depth: number;
  /** Decisions and leaves. */
  readonly nodes: number;
  readonly features: number;
}

/** A decision tree over a record of named features, computed obliviously. An answer is one label. */
export interface TreePolicy extends FunctionTerms {
  readonly uses: 'decision-tree';
  readonly model: ContributedModel;
  readonly tree: TreeBounds;
  readonly output: {
    /** Most labels that the tree may have; 1000 where it is absent. */
    readonly labels?: number;
  };
}

export type ModelFunctionPolicy = PicturePolicy | TreePolicy;

/** Counts its own calls in sealed state. Its input is not read. */
export interface CounterPolicy extends FunctionTerms {
  readonly uses: 'counter';
}

export type FunctionPolicy = ModelFunctionPolicy | CounterPolicy;

/** A store of one party, where an entry once written stays as it is. */
export type AnchorStore = S3AnchorStore | FolderAnchorStore;

export interface S3AnchorStore {
  readonly owner: string;
  readonly s3: {
    readonly bucket: string;
    /** Empty, or ends with `/`. */
    readonly prefix: string;
    readonly region: string;
  };
}

/** For local trials: a folder on the machine of whoever runs the host. */
export interface FolderAnchorStore {
  readonly owner: string;
  /** Absolute path. */
  readonly folder: string;
}

export interface AnchorSet {
  /** In the order of `state.order`; the first is asked first. */
  readonly stores: readonly AnchorStore[];
  /** So many must hold an entry; more than half. */
  readonly quorum: number;
}

export interface SealedState {
  /** `layered`: every party is needed to open it. `threshold`: so many of them are. */
  readonly seal: 'layered' | { readonly threshold: number };
  /** Every party, in the order in which the layers are wrapped. */
  readonly order: readonly string[];
}

export interface Succession {
  /** The policy whose state is taken over, and which is closed first. */
  readonly policyDigest: string;
  /** Whether calls that were spent under it count here. */
  readonly calls: 'carried' | 'fresh';
}

/** Where trust ends outside of the parties. `aws` is the default; anything else is a weakening that is always named. */
export type Trust = 'aws' | LocalTrust;

export interface LocalTrust {
  /** SHA-256 (hex) of the DER of the root that signs attestation documents. */
  readonly attestationRoot: string;
  /** SHA-256 (hex) of the DER of each root that TLS servers may chain to. */
  readonly tlsRoots: readonly string[];
  /** URL templates; `{region}` is replaced by the key's or bucket's Region, for example `https://kms.{region}.accord.test`. */
  readonly endpoints: { readonly kms: string; readonly sts: string; readonly s3: string };
}

interface Agreement {
  readonly apiVersion: 'accord/v1';
  readonly collaboration: string;
  /** ISO date (UTC). Calls are served to the end of this day by the NSM's clock, and refused afterwards. */
  readonly until: string;
  readonly functions: Readonly<Record<string, FunctionPolicy>>;
  /** Where spent calls are written down; both this and `state`, or neither. */
  readonly anchors: 'none' | AnchorSet;
  /** How what outlives the enclave is sealed. */
  readonly state: 'none' | SealedState;
  readonly succeeds?: Succession;
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
