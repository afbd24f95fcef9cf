/** A policy as a text that `loadPolicy` takes again: composed, every default written out. */
import type { AnchorSet, Policy } from './model.ts';

export function writtenPolicy(policy: Policy): string {
  const { anchors } = policy;
  return JSON.stringify({ ...policy, anchors: anchors === 'none' ? anchors : writtenAnchors(anchors) });
}

function writtenAnchors({ stores, quorum }: AnchorSet): Readonly<Record<string, unknown>> {
  const entries = stores.map((store) => {
    if ('folder' in store) return [store.owner, { folder: store.folder }] as const;
    const { bucket, prefix, region } = store.s3;
    return [store.owner, { s3: `s3://${bucket}/${prefix}`, region }] as const;
  });
  return { ...Object.fromEntries(entries), quorum };
}
