/**
 * How the tensors of a graph hang together: each has one maker, which stands before whoever reads it, and no size follows
 * from the picture. A model whose sizes did would be quick in its trial runs and take time and memory without bound for a
 * caller's picture.
 */
import { modelFailure } from '../../functions/model-refusal.ts';
import { MAY_LEAVE_UNWRITTEN, SHAPE_ALONE, SIZE_INPUTS } from './operators.ts';

export interface Node {
  readonly operator: string;
  /** Names the node in refusals. */
  readonly where: string;
  /** Names of tensors; an empty one stands for an optional one that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface Wiring {
  readonly nodes: readonly Node[];
  readonly initializers: readonly string[];
  /** Some of them initializers too: before IR version 4 all of those are. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Throws `Failure<ModelCode>`: `model/malformed-onnx`, `model/operator-not-allowed`. */
export function checkWiring({ nodes, initializers, inputs, outputs }: Wiring): void {
  for (const [names, what] of [
    [initializers, 'initializers'],
    [inputs, 'inputs'],
    [outputs, 'outputs'],
  ] as const) {
    checkDistinct(names, what, 'graph');
  }
  const made = new Set([...inputs, ...initializers]);
  /** Those whose values are the same whatever the picture. */
  const fixed = new Set(initializers);
  for (const node of nodes) {
    checkMadeBefore(node, made);
    checkSizes(node, fixed);
    const isFixed = givesFixed(node, fixed);
    for (const output of present(node.outputs)) {
      if (made.has(output)) malformed(`${output} is made twice`, node.where);
      made.add(output);
      if (isFixed) fixed.add(output);
    }
  }
}

/** Readers differ in which of two things of one name they take. Throws `Failure<ModelCode>`. */
export function checkDistinct(names: readonly string[], what: string, where: string): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) malformed(`${name} stands twice among the ${what}`, where);
    seen.add(name);
  }
}

function checkMadeBefore({ inputs, where }: Node, made: ReadonlySet<string>): void {
  const missing = present(inputs).find((input) => !made.has(input));
  if (missing !== undefined) malformed(`${missing} is read, and nothing before makes it`, where);
}

function checkSizes({ operator, inputs, where }: Node, fixed: ReadonlySet<string>): void {
  for (const [index, means] of Object.entries(SIZE_INPUTS.get(operator) ?? {})) {
    const input = inputs[Number(index)] ?? '';
    if (input === '' || fixed.has(input)) continue;
    throw modelFailure(
      'model/operator-not-allowed',
      `${input} gives a size (${means} of ${operator}), and may follow from the picture`,
      where,
      'export the model with fixed shapes',
    );
  }
}

function givesFixed({ operator, inputs }: Node, fixed: ReadonlySet<string>): boolean {
  // As no size follows from the picture, shapes do not.
  if (SHAPE_ALONE.has(operator)) return true;
  return !MAY_LEAVE_UNWRITTEN.has(operator) && present(inputs).every((input) => fixed.has(input));
}

function present(names: readonly string[]): readonly string[] {
  return names.filter((name) => name !== '');
}

function malformed(what: string, where: string): never {
  throw modelFailure('model/malformed-onnx', `the ONNX file is malformed: ${what}`, where);
}
