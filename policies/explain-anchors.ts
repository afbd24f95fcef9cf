/** What outlives the enclave, in words: where spent calls are written down, how state is sealed, and who sees what of it. */
import type { AnchorSet, AnchorStore, CanonicalPolicy, Policy, SealedState, Succession } from './model.ts';
import { enumerate } from './words.ts';
import { quorumInWords, sealInWords, storeInWords, toleranceInWords } from './words-anchors.ts';

type Either = Policy | CanonicalPolicy;

export function ofDurability({ anchors, state, succeeds, until }: Either): string[] {
  if (anchors === 'none' || state === 'none') {
    return ['Nothing: spent calls and models are in the memory of the enclave alone, and end with it.'];
  }
  return [...ofAnchors(anchors, until), ...ofState(state), ...(succeeds === undefined ? [] : ofSuccession(succeeds))];
}

function ofAnchors(anchors: AnchorSet, until: string): string[] {
  const { stores } = anchors;
  const places = stores.map((store) => `${store.owner}'s (${storeInWords(store)})`);
  const inTurn = stores.length === 1 ? 'one anchor' : 'anchors, asked in this order';
  return [
    `Each spent call is written down in ${inTurn}: ${enumerate(places)}. An entry counts when ${quorumInWords(anchors)} ` +
      `${stores.length === 1 ? 'holds' : 'hold'} it, and no answer leaves before.`,
    `What was written in a bucket cannot be changed before 90 days after ${until}, not even by its owner. So a call that was ` +
      'spent stays spent, whatever the host restarts, copies or rolls back, and an answer that was paid for is never lost: ' +
      'the same request is free, also after a restart and at another copy of the enclave.',
    `The quotas hold ${toleranceInWords(anchors)}.`,
    `Where fewer than ${quorumInWords(anchors)} can be reached, calls are refused as unavailable until they can.`,
  ];
}

function ofState(state: SealedState): string[] {
  const { seal, order } = state;
  const some = seal !== 'layered' && seal.threshold < order.length;
  return [
    'What the enclave must remember (contributed models, the keys of the tickets, what functions keep) it hands to the host ' +
      `sealed. To open it after a restart ${sealInWords(state)}, each with its own KMS key, attested; the host can withhold it, ` +
      'and cannot read it or have an older one taken for the newest.',
    'Each hour the enclave asks the keys that opened it again: it stops where one of them refuses, and answers no calls while ' +
      `${some ? 'too few were' : 'one was not'} asked for an hour.${some ? ' After a restart others can open it in place of one that refused.' : ''}`,
  ];
}

function ofSuccession({ policyDigest, calls }: Succession): string[] {
  const old = `the policy with digest ${policyDigest}`;
  const counted =
    calls === 'carried'
      ? 'Calls that were spent under it count here.'
      : 'Calls that were spent under it do not count here: every party has its calls anew.';
  return [
    `It takes the place of ${old} and takes over what its functions kept, for which every key of its parties must name both images. That ` +
      `one is closed first: nothing is answered under it from then on. ${counted}`,
  ];
}

/** What the owner of an anchor learns from it, and can do with it. */
export function ofAnchorOwner({ anchors }: Either, name: string): string[] {
  const store = anchors === 'none' ? undefined : anchors.stores.find(({ owner }) => owner === name);
  if (store === undefined) return [];
  return [
    `${name}'s anchor (${storeInWords(store)}) shows ${name} that calls are made, by whom, of which function and when, and that ` +
      'sealed state changes, but nothing of inputs, models or answers. By closing it ' +
      `${name} can stop calls, as by withdrawing the key; ${name} can neither add a call nor undo one.`,
  ];
}

/** What the host sees of anchors and state. */
export function ofAnchorsAtHost({ anchors }: Either): string[] {
  if (anchors === 'none') return [];
  const { stores, quorum } = anchors;
  const regions = new Set(stores.flatMap((store) => ('s3' in store ? [store.s3.region] : [])));
  const folders = stores.filter((store): store is AnchorStore => 'folder' in store);
  const seen: string[] = [];
  if (regions.size > 0) {
    seen.push(
      `Of the anchors it sees traffic to S3 in ${enumerate([...regions])}, when and how much, and none of what is in it.`,
    );
  }
  if (folders.length > 0) {
    seen.push(`It has the folders of ${enumerate(folders.map(({ owner }) => owner))} and can change them at will.`);
  }
  if (quorum < stores.length) {
    seen.push(
      `Since ${quorumInWords(anchors)} are enough, it can waste tickets, and with them calls of their party, by cutting links ` +
        'at the right moment; it can never add any.',
    );
  }
  return seen;
}
