/** What a change of anchors, state or succession means. */
import { canonicalize } from './canonical.ts';
import type { AnchorSet, CanonicalParty, CanonicalPolicy, Party, Policy, PolicyDigest } from './model.ts';
import { enumerate } from './words.ts';
import { quorumInWords, sealInWords, storeInWords, toleranceInWords } from './words-anchors.ts';

type Either = Policy | CanonicalPolicy;

/** Whether calls that were spent count on, and what becomes of the old image. */
export function ofSuccession(before: Either, after: Either, digest: PolicyDigest | undefined): string[] {
  const { succeeds } = after;
  if (succeeds === undefined) {
    const kept = before.state === 'none' ? '' : ', and nothing that the old enclave kept is taken over';
    return [
      `Calls are counted for each policy on its own: none that was spent under the old policy counts under the new one${kept}. ` +
        'Whoever leaves the old PCR0 pinned allows the calls of both.',
    ];
  }
  if (digest !== undefined && digest !== succeeds.policyDigest) {
    return [
      `The new policy takes the place of another one than this (digest ${succeeds.policyDigest}): between these two, ` +
        'calls are counted for each on its own.',
    ];
  }
  const which = digest === undefined ? ` of the policy with digest ${succeeds.policyDigest}` : ' of the old policy';
  return [
    ...(digest === undefined ? [] : whyNot(before, after)),
    `The new policy takes the place${which}: its image closes that one first, so that nothing is answered under it any more, and ` +
      "takes over what functions kept; models are contributed again. For that every old party's key must name both images " +
      '(`accord key-policy --succeed`).',
    succeeds.calls === 'carried'
      ? 'Calls that were spent under the old policy count under the new one.'
      : 'Calls begin anew: what was spent under the old policy does not count, so each party has had the calls of both.',
  ];
}

/** What keeps the new image from closing the old one: it has to reach the old parties' keys and a quorum of the old anchors. */
function whyNot(before: Either, after: Either): string[] {
  if (before.anchors === 'none' || after.anchors === 'none') {
    return ['The succession is not possible: the old policy keeps no state that could be taken over.'];
  }
  const gone = Object.entries(before.parties).flatMap(([name, party]) =>
    keyOf(party) === keyOf(after.parties[name]) ? [] : [name],
  );
  const kept = new Set(after.anchors.stores.map((store) => canonicalize(store)));
  const shared = before.anchors.stores.filter((store) => kept.has(canonicalize(store)));
  const { quorum } = before.anchors;
  return [
    ...gone.map(
      (name) => `The succession is not possible: it needs ${name} with the same key as before, to open the old state.`,
    ),
    ...(shared.length >= quorum
      ? []
      : [
          `The succession is not possible: of the old anchors, ${quorum} must be in the new policy as they were, to close the old one; ${shared.length} ${shared.length === 1 ? 'is' : 'are'}.`,
        ]),
  ];
}

/** The ARN, or its hash: of two policies in one form. */
function keyOf(party: Party | CanonicalParty | undefined): string | undefined {
  if (party === undefined) return undefined;
  return 'kmsKeyArn' in party ? party.kmsKeyArn : party.kmsKey.arnHash;
}

export function ofAnchors({ anchors: was }: Either, { anchors: is }: Either): string[] {
  if (canonicalize(was) === canonicalize(is)) return [];
  if (is === 'none') {
    return [
      'Spent calls are no longer written down in anchors: whoever runs the host can reset them by restarting it.',
    ];
  }
  const holds = `${quorumInWords(is)} must hold an entry, and the quotas hold ${toleranceInWords(is)}`;
  if (was === 'none') {
    return [`Spent calls are now written down in anchors of ${enumerate(ownersOf(is))}: ${holds}.`];
  }
  const texts: string[] = [];
  if (was.quorum !== is.quorum || was.stores.length !== is.stores.length) {
    texts.push(`Of the anchors, ${holds}; before it was ${quorumInWords(was)}.`);
  }
  if (ownersOf(was).join() !== ownersOf(is).join()) {
    texts.push(`Anchors are asked in this order: ${enumerate(ownersOf(is))}; before: ${enumerate(ownersOf(was))}.`);
  }
  return texts;
}

export function ofState({ state: was }: Either, { state: is }: Either): string[] {
  if (canonicalize(was) === canonicalize(is)) return [];
  if (is === 'none')
    return ['Nothing outlives the enclave any more: after a restart each model must be contributed again.'];
  if (was === 'none') {
    return [`State now outlives the enclave: to open it after a restart ${sealInWords(is)}.`];
  }
  const [before, after] = [sealInWords(was), sealInWords(is)];
  if (before !== after) return [`To open the state after a restart ${after}; before: ${before}.`];
  return [
    `The layers of the state are wrapped in another order (${enumerate(is.order)}); the same parties are needed.`,
  ];
}

/** What one party has to do, or need no longer do. */
export function ofOwnAnchor({ anchors: was }: Either, { anchors: is }: Either, name: string): string[] {
  const [old, now] = [storeOf(was, name), storeOf(is, name)];
  if (old === now) return [];
  if (now === undefined)
    return [`${name} no longer keeps an anchor (${old} before): what stands in it is still needed by the old image.`];
  const make = `makes it with \`accord anchor\` and contributes the credential that writes to it`;
  if (old === undefined) return [`${name} keeps an anchor now, in ${now}, and ${make}.`];
  return [`${name}'s anchor is now in ${now} instead of ${old}; ${name} ${make}.`];
}

const ownersOf = ({ stores }: AnchorSet): string[] => stores.map(({ owner }) => owner);

function storeOf(anchors: 'none' | AnchorSet, name: string): string | undefined {
  const store = anchors === 'none' ? undefined : anchors.stores.find(({ owner }) => owner === name);
  return store && storeInWords(store);
}
