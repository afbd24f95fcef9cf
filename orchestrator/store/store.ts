/**
 * What the orchestrator remembers: which collaborations there are, what was built of them, and what the parties
 * contributed. All of it is either public (the canonical policy, measurements) or ciphertext; key ARNs, which a
 * published policy does not print, stay in `policy` and are never served.
 */
import type { Measurements } from '../hosts/host.ts';

export const COLLABORATION_STATES = ['building', 'built', 'running', 'stopped', 'failed'] as const;
export type CollaborationState = (typeof COLLABORATION_STATES)[number];

export interface Contribution {
  /** A function's name, or `anchor.<party>`. */
  readonly function: string;
  readonly bytes: number;
  /** Lower-case hex of the SHA-256 of the ciphertext; also the name of the blob. */
  readonly sha256: string;
  /** ISO 8601, UTC. */
  readonly storedAt: string;
}

/** Why an envelope stays although a later upload took its place; one of each a name. See `orchestrator/contributions.ts`. */
export type KeptBecause = 'given' | 'in-force';

export interface Collaboration {
  /** `<collaboration>-<first 12 hex digits of the policy digest>`. */
  readonly id: string;
  readonly collaboration: string;
  readonly policyDigest: string;
  /** The exact text that is measured. */
  readonly canonicalPolicy: string;
  /** The policy as composed, with key ARNs, as JSON text: what the image is built from. */
  readonly policy: string;
  readonly state: CollaborationState;
  /** Why it is in this state, where that is not obvious: why a build failed, why an enclave ended. */
  readonly reason: string | null;
  readonly measurements: Measurements | null;
  readonly sizing: JsonObject | null;
  readonly contributions: readonly Contribution[];
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type JsonObject = Readonly<Record<string, unknown>>;

export type NewCollaboration = Pick<
  Collaboration,
  'id' | 'collaboration' | 'policyDigest' | 'canonicalPolicy' | 'policy'
>;

export type CollaborationChange = Partial<Pick<Collaboration, 'state' | 'reason' | 'measurements' | 'sizing'>>;

export interface Store {
  /** Adds it in state `building`. An existing one is left as it is: `created` is false. */
  create(
    collaboration: NewCollaboration,
  ): Promise<{ readonly created: boolean; readonly collaboration: Collaboration }>;
  get(id: string): Promise<Collaboration | undefined>;
  /** `digest` as lower-case hex. */
  findByDigest(digest: string): Promise<Collaboration | undefined>;
  /** Newest first. */
  list(): Promise<readonly Collaboration[]>;
  /** Undefined where there is no such collaboration. */
  update(id: string, change: CollaborationChange): Promise<Collaboration | undefined>;
  /** Replaces what was contributed for the function before. */
  putContribution(id: string, contribution: Omit<Contribution, 'storedAt'>): Promise<Contribution>;
  /** False where there was none. */
  deleteContribution(id: string, functionName: string): Promise<boolean>;
  /** Replaces the one that was kept for this reason before. */
  keepContribution(id: string, functionName: string, because: KeptBecause, sha256: string): Promise<void>;
  /** SHA-256, hex, of what is kept. */
  keptContributions(id: string, functionName: string): Promise<ReadonlyMap<KeptBecause, string>>;
  /** SHA-256 of every blob that some contribution names, and of those that are kept. */
  blobsInUse(): Promise<ReadonlySet<string>>;
  close(): Promise<void>;
}
