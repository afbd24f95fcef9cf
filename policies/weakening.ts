export type WeakeningCode =
  | 'local-trust'
  | 'no-anchors'
  | 'no-sealed-state'
  | 'weak-quorum'
  | 'coordinator-anchor'
  | 'folder-anchor'
  | 'anchors-together'
  | 'threshold-seal'
  | 'no-release-time'
  | 'release-too-soon'
  | 'model-not-pinned'
  | 'fine-answers'
  | 'many-calls'
  | 'one-account'
  | 'one-party'
  | 'expired'
  | 'half-a-core';

export interface Weakening {
  readonly code: WeakeningCode;
  readonly text: string;
}
