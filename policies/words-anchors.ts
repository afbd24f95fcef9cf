/** Anchors and state in words, for whoever explains or compares them. */
import type { AnchorSet, AnchorStore, SealedState } from './model.ts';
import { count, enumerate } from './words.ts';

/** `s3://bucket/prefix in eu-west-1`, `the folder /path`. */
export function storeInWords(store: AnchorStore): string {
  if ('folder' in store) return `the folder ${store.folder} on the host`;
  const { bucket, prefix, region } = store.s3;
  return `s3://${bucket}/${prefix} in ${region}`;
}

/** So many owners must collude with whoever runs the host before a quota can be exceeded. */
export const colludersNeeded = ({ stores, quorum }: AnchorSet): number => 2 * quorum - stores.length;

export function quorumInWords({ stores, quorum }: AnchorSet): string {
  if (stores.length === 1) return 'the one anchor';
  return quorum === stores.length ? `all ${quorum} anchors` : `${quorum} of ${stores.length} anchors`;
}

/** For whom the quotas hold. */
export function toleranceInWords(anchors: AnchorSet): string {
  const needed = colludersNeeded(anchors);
  if (anchors.stores.length === 1)
    return `as long as ${anchors.stores[0]?.owner} does not collude with whoever runs the host`;
  if (needed === 1) return 'as long as no owner of an anchor colludes with whoever runs the host';
  if (needed === anchors.stores.length)
    return 'as long as one owner of an anchor does not collude with whoever runs the host';
  return `as long as fewer than ${needed} owners of anchors collude with whoever runs the host`;
}

/** Who is needed to open the state. */
export function sealInWords({ seal, order }: SealedState): string {
  if (seal === 'layered' || seal.threshold === order.length) {
    return order.length === 1 ? `${enumerate(order)} is needed` : `each of ${enumerate([...order].sort())} is needed`;
  }
  const { threshold } = seal;
  return `any ${threshold === 1 ? 'one' : threshold} of the ${count(order.length, 'party', 'parties')} ${threshold === 1 ? 'is' : 'are'} enough`;
}
