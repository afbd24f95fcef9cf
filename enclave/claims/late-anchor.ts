/**
 * An anchor that the policy names and the enclave cannot write to yet, for want of its owner's credential. Until it is
 * there it is as good as unreachable: the others may do, where they are enough.
 */
import { Failure } from '../../policies/failure.ts';
import type { Anchor, AnchorCode, AnchorKind } from './anchor.ts';

export interface LateAnchor extends Anchor {
  /** Whether it has been provided. */
  isThere(): boolean;
  /** Whether the store refused what it was last asked: its owner may have exchanged the credential since. */
  isRefused(): boolean;
  /** The store itself, checked. A later one, with a newer credential, takes its place. */
  provide(anchor: Anchor): void;
}

export function createLateAnchor(owner: string, kind: AnchorKind): LateAnchor {
  let there: Anchor | undefined;
  let refused = false;
  const need = (): Anchor => {
    if (there !== undefined) return there;
    throw new Failure<AnchorCode>(
      'environment',
      'anchor/waiting',
      `${owner}'s anchor waits for its owner: no session has brought its credential since the enclave started`,
      { where: owner },
    );
  };
  const watched = async <Result>(work: (anchor: Anchor) => Promise<Result>): Promise<Result> => {
    const anchor = need();
    try {
      const result = await work(anchor);
      if (anchor === there) refused = false;
      return result;
    } catch (error) {
      if (anchor === there) refused = error instanceof Failure && error.code === 'anchor/refused';
      throw error;
    }
  };
  return {
    owner,
    kind,
    get reports() {
      return there?.reports ?? [];
    },
    check: (signal) => watched((anchor) => anchor.check(signal)),
    claim: (name, k, entry, signal) => watched((anchor) => anchor.claim(name, k, entry, signal)),
    holder: (name, k, signal) => watched((anchor) => anchor.holder(name, k, signal)),
    endingOn: (until) => {
      const of = (anchor: Anchor): Anchor => anchor.endingOn?.(until) ?? anchor;
      return {
        owner,
        kind,
        get reports() {
          return there?.reports ?? [];
        },
        check: (signal) => watched((anchor) => anchor.check(signal)),
        claim: (name, k, entry, signal) => watched((anchor) => of(anchor).claim(name, k, entry, signal)),
        holder: (name, k, signal) => watched((anchor) => of(anchor).holder(name, k, signal)),
      };
    },
    isThere: () => there !== undefined,
    isRefused: () => refused,
    provide(anchor) {
      there = anchor;
      refused = false;
    },
  };
}
