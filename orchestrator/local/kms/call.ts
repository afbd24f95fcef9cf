/** One call of KMS: who asks, in which Region, for what, and what the operations need to answer. */
import type { EncryptionContext } from '../../../enclave/protocol/context.ts';
import type { Principal } from '../iam/principal.ts';
import type { Store } from '../store.ts';
import type { JsonObject } from '../wire/json.ts';
import type { Input } from './input.ts';
import type { VerifyRecipient } from './recipient.ts';

export interface KmsCall {
  readonly operation: string;
  readonly input: Input;
  readonly principal: Principal;
  readonly region: string;
  /** Milliseconds. */
  readonly now: number;
  readonly store: Store;
  /** Condition keys that every request carries. */
  readonly baseContext: ReadonlyMap<string, readonly string[]>;
  readonly verifyRecipient: VerifyRecipient;
  readonly trace: Trace;
}

/** What the request log tells about a call; filled in as the call proceeds. */
export interface Trace {
  key: string | null;
  encryptionContext: EncryptionContext | null;
  attestedImage: string | null;
  readonly decisions: { readonly action: string; readonly resource: string; readonly allowed: boolean }[];
}

export type Operation = (call: KmsCall) => Promise<JsonObject>;
