/** What anchors and sealed state protect less than they could. */
import { parseKmsKeyArn } from './arn.ts';
import type { AnchorSet, CanonicalPolicy, Policy, SealedState } from './model.ts';
import type { Weakening } from './weakening.ts';
import { enumerate } from './words.ts';
import { colludersNeeded, quorumInWords } from './words-anchors.ts';

type Either = Policy | CanonicalPolicy;

export function ofDurability(policy: Either): Weakening[] {
  const { anchors, state } = policy;
  return [
    ...(anchors === 'none' ? WITHOUT_ANCHORS : ofAnchors(policy, anchors)),
    ...(state === 'none' ? WITHOUT_STATE : ofSeal(state)),
  ];
}

const WITHOUT_ANCHORS: readonly Weakening[] = [
  {
    code: 'no-anchors',
    text:
      'No anchors: spent calls are counted in the memory of the enclave alone. Whoever runs the host can reset every ' +
      'quota by restarting the enclave, and can run several copies that each count for themselves.',
  },
];
const WITHOUT_STATE: readonly Weakening[] = [
  {
    code: 'no-sealed-state',
    text: 'No sealed state: nothing outlives the enclave. After a restart each model must be contributed again.',
  },
];

function ofAnchors(policy: Either, anchors: AnchorSet): Weakening[] {
  return [
    ...ofQuorum(anchors),
    ...ofCoordinators(policy, anchors),
    ...ofFolders(anchors),
    ...ofNeighbours(policy, anchors),
  ];
}

const RESET = 'undo spent calls and have more answers computed than were agreed';

function ofQuorum(anchors: AnchorSet): Weakening[] {
  if (colludersNeeded(anchors) > 1) return [];
  const owners = anchors.stores.map(({ owner }) => owner);
  const text =
    owners.length === 1
      ? `One anchor: ${enumerate(owners)}, together with whoever runs the host, can ${RESET}. A second anchor of another party, with a quorum of both, ends that.`
      : `A quorum of ${quorumInWords(anchors)}: any one of ${enumerate(owners)}, together with whoever runs the host, can ${RESET}. ` +
        `With a quorum of all ${owners.length} it takes all of them.`;
  return [{ code: 'weak-quorum', text }];
}

/** Who runs the collaboration most likely runs the host, or knows who does. */
function ofCoordinators({ parties }: Either, anchors: AnchorSet): Weakening[] {
  const coordinators = anchors.stores
    .map(({ owner }) => owner)
    .filter((owner) => parties[owner]?.role === 'coordinator');
  if (coordinators.length === 0) return [];
  const left = colludersNeeded(anchors) - coordinators.length;
  const alone = `${enumerate(coordinators)} runs the collaboration and owns an anchor`;
  const text =
    left <= 0
      ? `${alone}: with the host in the same hands, nobody else is needed to ${RESET}.`
      : `${alone}, which protects from nobody where the host is in the same hands: ${left === 1 ? 'one more owner is' : `${left} more owners are`} needed to ${RESET}.`;
  return [{ code: 'coordinator-anchor', text }];
}

function ofFolders(anchors: AnchorSet): Weakening[] {
  const owners = anchors.stores.flatMap((store) => ('folder' in store ? [store.owner] : []));
  if (owners.length === 0) return [];
  const enough = owners.length >= colludersNeeded(anchors);
  const text =
    `The ${owners.length === 1 ? 'anchor' : 'anchors'} of ${enumerate(owners)} ${owners.length === 1 ? 'is a folder' : 'are folders'} on the host, ` +
    `whose owner can change ${owners.length === 1 ? 'it' : 'them'}` +
    `${enough ? `, and so ${RESET}` : ''}. For trying it out, and for nothing else.`;
  return [{ code: 'folder-anchor', text }];
}

/** Stores that one administrator holds count as one. */
function ofNeighbours(policy: Either, anchors: AnchorSet): Weakening[] {
  const accounts = new Map<string, string[]>();
  const buckets = new Map<string, string[]>();
  for (const store of anchors.stores) {
    if ('folder' in store) continue;
    add(buckets, `bucket ${store.s3.bucket}`, store.owner);
    const party = policy.parties[store.owner];
    if (party !== undefined && 'kmsKeyArn' in party) {
      add(accounts, `account ${parseKmsKeyArn(party.kmsKeyArn).account}`, store.owner);
    }
  }
  const inOneAccount = [...accounts].filter(([, owners]) => owners.length > 1);
  const known = new Set(inOneAccount.map(([, owners]) => owners.join()));
  const inOneBucket = [...buckets].filter(([, owners]) => owners.length > 1 && !known.has(owners.join()));
  return [...inOneAccount, ...inOneBucket].map(([place, owners]) => {
    const enough = owners.length >= colludersNeeded(anchors);
    const text =
      `The anchors of ${enumerate(owners)} are in one ${place}: its administrators hold all of them` +
      `${enough ? `, and together with whoever runs the host can ${RESET}` : '; they count as one owner'}.`;
    return { code: 'anchors-together', text };
  });
}

const add = (groups: Map<string, string[]>, key: string, owner: string): void =>
  void groups.set(key, [...(groups.get(key) ?? []), owner]);

function ofSeal({ seal, order }: SealedState): Weakening[] {
  if (seal === 'layered' || seal.threshold === order.length) return [];
  const { threshold } = seal;
  const who = threshold === 1 ? `any one of ${enumerate(order)}` : `any ${threshold} of ${enumerate(order)}`;
  const text =
    `A threshold of ${threshold}: ${who}, together with whoever runs the host, can open the state of all, with everybody's ` +
    'models and the keys of the tickets. And a party that withdraws its key stops the enclave only until it is started again, as ' +
    `long as ${threshold === 1 ? 'another one is' : `${threshold} others are`} there. With \`seal: layered\` every party is needed.`;
  return [{ code: 'threshold-seal', text }];
}
