/** The attributes of a TreeEnsembleClassifier, by name. */
import { modelFailure } from '../../functions/model-refusal.ts';
import * as format from './format.ts';
import { readMessage, text, type Message, type Reader } from './protobuf.ts';

const KNOWN: ReadonlySet<string> = new Set([
  'base_values',
  'class_ids',
  'class_nodeids',
  'class_treeids',
  'class_weights',
  'classlabels_int64s',
  'classlabels_strings',
  'nodes_falsenodeids',
  'nodes_featureids',
  'nodes_hitrates', // how often a node was come to in training: it decides nothing
  'nodes_missing_value_tracks_true',
  'nodes_modes',
  'nodes_nodeids',
  'nodes_treeids',
  'nodes_truenodeids',
  'nodes_values',
  'post_transform', // changes scores, never which label is the best
]);

/** What an attribute that is absent has: nothing. */
export interface Attributes {
  ints(name: string): readonly number[];
  floats(name: string): readonly number[];
  strings(name: string): readonly string[];
}

/** Throws `Failure<ModelCode>` for attributes that are not known, and for one that stands twice. */
export function readAttributes(reader: Reader, node: Message, nameBytes: number): Attributes {
  const found = new Map<string, Message>();
  for (const range of node.ranges(5)) {
    const attribute = readMessage(reader, range, format.ATTRIBUTE, 'attribute');
    const [called] = attribute.ranges(1);
    const name = called === undefined ? '' : text(reader, called, nameBytes, 'attribute');
    if (!KNOWN.has(name)) {
      const hint = 'export the tree with float32 thresholds';
      throw modelFailure(
        'model/unsupported-field',
        `the attribute ${name} is not taken`,
        'TreeEnsembleClassifier',
        hint,
      );
    }
    if (found.has(name)) throw modelFailure('model/malformed-onnx', `the attribute ${name} stands twice`, 'attribute');
    found.set(name, attribute);
  }
  return {
    ints: (name) => (found.get(name)?.ints(8) ?? []).map((value) => Number(BigInt.asIntN(64, value))),
    floats: (name) => found.get(name)?.floats(7) ?? [],
    strings: (name) => (found.get(name)?.ranges(9) ?? []).map((range) => text(reader, range, nameBytes, name)),
  };
}
