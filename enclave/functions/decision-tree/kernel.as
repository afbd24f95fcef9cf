/**
 * The walk through a decision tree, in AssemblyScript; `build/tree-kernel.mjs` compiles it.
 *
 * What it does follows from `nodes`, `features` and `depth` alone, the policy's bounds: which instructions run, and which
 * addresses are read. Each of `depth` steps reads every node of the table and every number of the record, and keeps the
 * one it is after by a mask. Numbers are compared as integers, because processors and compilers branch on NaN.
 *
 *     struct {
 *       i32 feature;                    which number of the record is compared
 *       i32 threshold;                  bits of a float32, never NaN
 *       i32 rule;                       the test holds where the number is 1 less, 2 equal, 4 greater, 8 NaN; bits add up
 *       i32 yes, no;                    the next node; a leaf names itself
 *       i32 label;
 *     } Node;                           24 bytes, little-endian; the walk begins at the first
 *     struct { Node table[nodes]; } at `table`;
 *     struct { float32 record[features]; } at `record`;
 */

/** All ones where they are equal, else zero. */
// @ts-ignore: decorator
@inline
function equal(a: i32, b: i32): i32 {
  const differ = a ^ b;
  return ~((differ | -differ) >> 31);
}

/** All ones where a < b, else zero. */
// @ts-ignore: decorator
@inline
function less(a: i32, b: i32): i32 {
  return <i32>((<i64>a - <i64>b) >> 63);
}

/** A float32's bits without its sign. */
// @ts-ignore: decorator
@inline
function magnitude(bits: i32): i32 {
  return bits & 0x7fffffff;
}

/** An integer that is ordered as the number is; both zeros give 0. */
// @ts-ignore: decorator
@inline
function order(bits: i32): i32 {
  return (bits ^ ((bits >> 31) & 0x7fffffff)) & ~equal(magnitude(bits), 0);
}

/** All ones where bit `place` of `rule` is set, else zero. */
// @ts-ignore: decorator
@inline
function rules(rule: i32, place: i32): i32 {
  return -((rule >> place) & 1);
}

/** The label of the leaf that the record comes to. */
export function evaluate(table: usize, record: usize, nodes: i32, features: i32, depth: i32): i32 {
  let current: i32 = 0;
  for (let step: i32 = 0; step < depth; step++) {
    let feature: i32 = 0;
    let threshold: i32 = 0;
    let rule: i32 = 0;
    let yes: i32 = 0;
    let no: i32 = 0;
    for (let index: i32 = 0; index < nodes; index++) {
      const node = table + <usize>index * 24;
      const here = equal(index, current);
      feature |= load<i32>(node, 0) & here;
      threshold |= load<i32>(node, 4) & here;
      rule |= load<i32>(node, 8) & here;
      yes |= load<i32>(node, 12) & here;
      no |= load<i32>(node, 16) & here;
    }
    let value: i32 = 0;
    for (let index: i32 = 0; index < features; index++) {
      value |= load<i32>(record + <usize>index * 4) & equal(index, feature);
    }
    const nan = less(0x7f800000, magnitude(value));
    const has = order(value);
    const wants = order(threshold);
    const ordered =
      (less(has, wants) & rules(rule, 0)) | (equal(has, wants) & rules(rule, 1)) | (less(wants, has) & rules(rule, 2));
    const holds = (ordered & ~nan) | (nan & rules(rule, 3));
    current = (yes & holds) | (no & ~holds);
  }
  let label: i32 = 0;
  for (let index: i32 = 0; index < nodes; index++) {
    label |= load<i32>(table + <usize>index * 24, 20) & equal(index, current);
  }
  return label;
}
