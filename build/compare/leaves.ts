/** Two JSON values, leaf by leaf. */

export interface LeafDifference {
  /** `inputs.node.version`; `terms[2].MiB`. */
  readonly path: string;
  /** As JSON; undefined where it is absent. */
  readonly claimed: string | undefined;
  readonly rebuilt: string | undefined;
}

/** In the order of the claim, then what it lacks. Members whose value is undefined are absent, as in JSON. */
export function compareLeaves(claimed: unknown, rebuilt: unknown, path = ''): readonly LeafDifference[] {
  const [left, right] = [membersOf(claimed), membersOf(rebuilt)];
  if (left === undefined || right === undefined || Array.isArray(claimed) !== Array.isArray(rebuilt)) {
    const [a, b] = [JSON.stringify(claimed), JSON.stringify(rebuilt)];
    return a === b ? [] : [{ path, claimed: a, rebuilt: b }];
  }
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((name) =>
    compareLeaves(left.get(name), right.get(name), below(path, name, Array.isArray(claimed))),
  );
}

function below(path: string, name: string, isList: boolean): string {
  if (isList) return `${path}[${name}]`;
  return path === '' ? name : `${path}.${name}`;
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const members: readonly (readonly [string, unknown])[] = Object.entries(value);
  return new Map(members.filter(([, member]) => member !== undefined));
}
