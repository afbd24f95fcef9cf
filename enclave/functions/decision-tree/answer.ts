/** decision-tree: a record in, one label out (`input.schema.json`, `output.schema.json`). Here is the gate's own writing of it. */

export interface TreeAnswer {
  readonly label: string;
}

/** Undefined where the index is of no label: then the computing jail did not come to it honestly. */
export function rebuildLabel(index: number, labels: readonly string[]): TreeAnswer | undefined {
  const label = labels[index];
  return label === undefined ? undefined : { label };
}
