/** Decision trees: one jail reads the record, one walks the tree; the gate writes the label from an index. */
import type { TreePolicy } from '../../policies/model.ts';
import { rebuildLabel } from '../functions/decision-tree/answer.ts';
import { checkFeatures } from '../functions/decision-tree/tree.ts';
import type { TreeManifest } from '../functions/model-manifest.ts';
import { FRAME, UNREADABLE_BYTES } from './frames.ts';
import { jailFailure } from './jail-failure.ts';
import type { Jail } from './process.ts';
import { explainRecord } from './record-refusal.ts';
import { brokeProtocol, computerOf, readerOf, type StageOptions, type Stages } from './stages.ts';

export interface TreeOptions extends StageOptions {
  readonly manifest: TreeManifest;
  readonly policy: TreePolicy;
}

/** Throws `Failure<ModelCode>` where the manifest names more features than the policy takes. */
export function treeStages(options: TreeOptions): Stages {
  const { paths, manifest, policy } = options;
  const { features } = manifest.input;
  const bounds = policy.tree;
  checkFeatures(features.length, bounds);
  return {
    reader: readerOf(options, paths.record, {}, { features, width: bounds.features, maxBytes: policy.input.maxBytes }),
    computer: computerOf(options, paths.tree, {}, { manifest, bounds }),
    async run(input, useReader, useComputer) {
      const vector = await useReader((jail) => readIn(jail, input, features, 4 * bounds.features));
      const label = await useComputer((jail) => walkIn(jail, vector)).finally(() => vector.fill(0));
      const answer = rebuildLabel(label, manifest.labels);
      if (answer === undefined) throw jailFailure('jail/output-invalid', 'the tree gave a label that is not there');
      return answer;
    },
  };
}

/** The record as numbers, padded to the policy's bound; what they are the gate does not look at. */
async function readIn(
  jail: Jail,
  input: readonly Uint8Array[],
  features: readonly string[],
  bytes: number,
): Promise<Uint8Array> {
  const { type, body } = await jail.ask(FRAME.input, input, {
    [FRAME.vector]: bytes,
    [FRAME.unreadable]: UNREADABLE_BYTES,
  });
  if (type === FRAME.unreadable && body.length === UNREADABLE_BYTES) {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const why = explainRecord(view.getUint8(0), view.getUint32(1), features);
    if (why !== undefined) throw jailFailure('jail/input-invalid', why);
  }
  return type === FRAME.vector && body.length === bytes ? body : brokeProtocol(jail);
}

async function walkIn(jail: Jail, vector: Uint8Array): Promise<number> {
  const { body } = await jail.ask(FRAME.vector, [vector], { [FRAME.label]: LABEL_BYTES });
  if (body.length !== LABEL_BYTES) return brokeProtocol(jail);
  return new DataView(body.buffer, body.byteOffset, body.byteLength).getUint16(0);
}

const LABEL_BYTES = 2;
