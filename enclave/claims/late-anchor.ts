/**
 * An anchor that the policy names and the enclave cannot write to yet, for want of its owner's credential. Until it is
 * there it is as good as unreachable: the others may do, where they are enough.
 */
import { Failure } from '../../policies/failure.ts';
import type { Anchor, AnchorCode, AnchorKind } from './anchor.ts';

export interface LateAnchor extends Anchor {
  /** Whether it has been provided. */
  isThere(): boolean;
  /** The store itself, checked. A later one, with a newer credential, takes its place. */
  provide(anchor: Anchor): void;
}

export function createLateAnchor(owner: string, kind: AnchorKind): LateAnchor {
  let there: Anchor | undefined;
  const need = (): Anchor => {
    if (there !== undefined) return there;
    throw new Failure<AnchorCode>(
      'environment',
      'anchor/waiting',
      `${owner}'s anchor waits for its owner: no session has brought its credential since the enclave started`,
      { where: owner },
    );
  };
  return {
    owner,
    kind,
    get reports() {
      return there?.reports ?? [];
    },
    check: async (signal) => need().check(signal),
    claim: async (name, k, entry, signal) => need().claim(name, k, entry, signal),
    holder: async (name, k, signal) => need().holder(name, k, signal),
    isThere: () => there !== undefined,
    provide(anchor) {
      there = anchor;
    },
  };
}
