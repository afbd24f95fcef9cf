/**
 * From a contributed tree's file to a table that the kernel takes. In the enclave it runs in the walking jail alone: the
 * bytes are hostile until shown otherwise. A model's owner runs it too, before anything is sent.
 */
import type { TreeBounds } from '../../policies/model.ts';
import { readWrittenTree, tableOfJson, type WrittenTree } from '../functions/decision-tree/json-tree.ts';
import { checkFeatures, checkTree, type Tree } from '../functions/decision-tree/tree.ts';
import type { TreeManifest } from '../functions/model-manifest.ts';
import { modelFailure } from '../functions/model-refusal.ts';
import { tableOfOnnx } from './onnx/tree.ts';
import { NotJson, asObjects, parseJson, type Json } from '../encoding/strict-json.ts';

/** 8 MiB: 4095 nodes with the longest names fit. */
const FILE_BYTES = 8_388_608;
/** Objects within objects: a file may be deeper than any policy takes, and is then refused as a tree. */
const DEPTH = 64;

/** Throws `Failure<ModelCode>`: what it gives is a tree within the bounds, of the manifest's features and labels. */
export function readTree(file: Uint8Array, manifest: TreeManifest, bounds: TreeBounds): Tree {
  const { input, output, labels } = manifest;
  checkFeatures(input.features.length, bounds);
  if (file.length > FILE_BYTES) {
    throw modelFailure('model/too-large', `the tree's file has ${file.length} bytes; at most ${FILE_BYTES} are taken`);
  }
  const terms = { features: input.features.length, labels: labels.length };
  if (output.format === 'json') {
    const tree = tableOfJson(parseTree(file), manifest);
    checkTree(tree, terms, bounds);
    return tree;
  }
  const { tree, name } = tableOfOnnx(file, manifest);
  checkTree(tree, terms, bounds, name);
  return tree;
}

function parseTree(file: Uint8Array): WrittenTree {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(file);
  } catch {
    throw modelFailure('model/malformed-tree', "the tree's file is not UTF-8 text");
  }
  let value: Json;
  try {
    value = parseJson(text, DEPTH);
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    const words = { syntax: 'not JSON', duplicate: 'JSON with a name that stands twice', depth: 'nested too deeply' };
    throw modelFailure('model/malformed-tree', `the tree's file is ${words[error.fault]}`, `character ${error.at}`);
  }
  const read = readWrittenTree(asObjects(value));
  if ('fault' in read) throw modelFailure('model/malformed-tree', `the tree is not valid: ${read.fault}`);
  return read;
}
