/**
 * The anchors of the policy, and how the enclave comes by each: a bucket needs the credential that its owner contributed,
 * which the owner's KMS opens to this enclave alone; a folder needs none. Each is checked before it is used.
 */
import { createHash } from 'node:crypto';
import { parseKmsKeyArn } from '../../policies/arn.ts';
import { Failure } from '../../policies/failure.ts';
import type { AnchorSet, PolicyDigest } from '../../policies/model.ts';
import type { Anchor, Anchors } from '../claims/anchor.ts';
import type { AnchorCredential } from '../claims/anchor-credential.ts';
import { ANCHOR_CREDENTIAL_BYTES, anchorContribution, parseAnchorCredential } from '../claims/anchor-credential.ts';
import type { AnchorPlace } from '../claims/open-anchor.ts';
import type { LateAnchor } from '../claims/late-anchor.ts';
import { createLateAnchor } from '../claims/late-anchor.ts';
import { hashed } from '../crypto/hashed.ts';
import type { AttestedDecrypt } from '../kms/attested.ts';
import { anchorContext, sameContext } from '../protocol/context.ts';
import { readEnvelope } from '../protocol/envelope.ts';
import type { Host } from '../vsock/host.ts';
import type { Loan } from './loans.ts';

export type AnchorDoorCode =
  | 'anchor-credential/absent' // its owner has contributed none
  | 'anchor-credential/misplaced' // made for another policy, party, purpose or key
  | 'anchor-credential/malformed';

export type OpenAnchor = (place: AnchorPlace) => Anchor;

export interface AnchorDoors {
  readonly anchors: Anchors;
  /** Whether enough of them can be used. */
  suffice(): boolean;
  /** Owners whose anchors cannot be used yet, where not enough can. */
  missing(): readonly string[];
  /** Whether the owner has an anchor that cannot be used, or not any more. */
  isClosed(owner: string): boolean;
  /**
   * Opens the anchor of this owner; nothing to do where it has none, or it is open. Folders take no loan. Where the newest
   * credential that the host has opens nothing (anybody may have stored it), the one that was taken last is tried.
   */
  open(owner: string, loan: Loan | undefined, signal: AbortSignal): Promise<void>;
}

export interface AnchorDoorParts {
  readonly anchors: AnchorSet;
  readonly policyDigest: PolicyDigest;
  /** Party -> ARN. */
  readonly keyArns: ReadonlyMap<string, string>;
  readonly host: Pick<Host, 'contribution' | 'contributionTaken'>;
  readonly decrypt: AttestedDecrypt;
  readonly openAnchor: OpenAnchor;
}

/** Not there yet, or refusing: a newer credential may help. */
function isShut(anchor: LateAnchor | undefined): boolean {
  return anchor !== undefined && (!anchor.isThere() || anchor.isRefused());
}

export function createAnchorDoors(parts: AnchorDoorParts): AnchorDoors {
  const { stores, quorum } = parts.anchors;
  const late = stores.map((store) => createLateAnchor(store.owner, 'folder' in store ? 'folder' : 's3'));
  const doors = new Map(stores.map((store, i) => [store.owner, { store, late: late[i] }]));
  const closed = (): readonly string[] => late.filter((anchor) => !anchor.isThere()).map(({ owner }) => owner);
  const suffice = (): boolean => stores.length - closed().length >= quorum;

  return {
    anchors: { stores: late, quorum },
    suffice,
    missing: () => (suffice() ? [] : closed()),
    isClosed: (owner) => isShut(doors.get(owner)?.late),
    async open(owner, loan, signal) {
      const door = doors.get(owner);
      if (door?.late === undefined || !isShut(door.late)) return;
      const { store, late } = door;
      const { account } = parseKmsKeyArn(parts.keyArns.get(owner) ?? '');
      const provide = async (credential: AnchorCredential | undefined): Promise<void> => {
        const anchor = parts.openAnchor({ store, account, credential });
        await anchor.check(signal);
        late.provide(anchor);
      };
      if ('folder' in store) return provide(undefined);
      if (loan === undefined) return;
      const use = async (earlier: boolean): Promise<void> => {
        const { credential, envelopeSha256 } = await fetchCredential(parts, owner, loan, earlier, signal);
        await provide(credential);
        await parts.host.contributionTaken(anchorContribution(owner), envelopeSha256, signal);
      };
      try {
        await use(false);
      } catch (newest) {
        if (signal.aborted || !(newest instanceof Failure)) throw newest;
        try {
          await use(true);
        } catch (earlier) {
          throw earlier instanceof Failure ? newest : earlier;
        }
      }
    },
  };
}

interface FetchedCredential {
  readonly credential: AnchorCredential;
  readonly envelopeSha256: Uint8Array;
}

async function fetchCredential(
  { policyDigest, host, decrypt }: AnchorDoorParts,
  owner: string,
  { keyArn, credentials }: Loan,
  earlier: boolean,
  signal: AbortSignal,
): Promise<FetchedCredential> {
  const blob = await host.contribution(anchorContribution(owner), { earlier }, signal);
  if (blob === undefined) throw refused('anchor-credential/absent', owner, 'has not been contributed');
  try {
    const hash = createHash('sha256');
    const envelope = await readEnvelope(hashed(blob.content(), hash));
    const { header } = envelope;
    const context = anchorContext({ policyDigest, party: owner });
    if (header.keyArn !== keyArn || !sameContext(header.context, context)) {
      throw refused('anchor-credential/misplaced', owner, 'was made for another policy, party or key');
    }
    const dataKey = await decrypt({ keyArn, ciphertext: header.dataKey, context, credentials }, signal);
    const plaintext = new Uint8Array(ANCHOR_CREDENTIAL_BYTES);
    try {
      let length = 0;
      for await (const part of envelope.open(dataKey)) {
        if (length + part.length > plaintext.length) throw refused('anchor-credential/malformed', owner, 'is too long');
        plaintext.set(part, length);
        length += part.length;
        part.fill(0);
      }
      const credential = parseAnchorCredential(plaintext.subarray(0, length));
      return { credential, envelopeSha256: new Uint8Array(hash.digest()) };
    } finally {
      plaintext.fill(0);
      dataKey.fill(0);
    }
  } finally {
    blob.close();
  }
}

function refused(code: AnchorDoorCode, owner: string, what: string): Failure<AnchorDoorCode> {
  return new Failure('refused', code, `the credential of ${owner}'s anchor ${what}`, {
    where: owner,
    hint: `${owner} must contribute it: accord anchor`,
  });
}
