/**
 * Follows what is secret through a kernel's code. Whatever is read from memory is secret, and whatever is made of it; a
 * breach is a branch, a loop, an address or an instruction of varying time that depends on it. This holds for every tree
 * and record, not only for those that somebody tried.
 */
import binaryen from 'binaryen';

type Secret = boolean;
/** Which locals hold a secret. */
type State = readonly Secret[];

/** Each takes the kind of instruction that it is put down for, which is what it is given. */
type Judge = { of(info: binaryen.ExpressionInfo): Secret }['of'];

/** Every breach, in words; none where the code is oblivious. Throws for instructions that it does not judge. */
export function breaches(bytes: Uint8Array, name: string): readonly string[] {
  const module = binaryen.readBinary(bytes);
  const reference = binaryen.getExportInfo(module.getExport(name)).value;
  const code = binaryen.getFunctionInfo(module.getFunction(reference));
  const locals = binaryen.expandType(code.params).length + code.vars.length;
  const found = new Set<string>();
  /** What the locals may be where a label is jumped to. */
  const jumps = new Map<string, State>();
  let state: State = Array<Secret>(locals).fill(false);

  const join = (a: State, b: State): State => a.map((secret, index) => secret || b[index] === true);
  const demandPublic = (secret: Secret, what: string): void => {
    if (secret) found.add(`${what} depends on what was read`);
  };
  const judgeAll = (children: readonly number[]): Secret => children.map(judge).at(-1) ?? false;
  const judgeLoop = (label: string, body: number): Secret => {
    for (;;) {
      const before = state;
      const secret = judge(body);
      const after = state;
      const again = join(before, jumps.get(label) ?? before);
      if (again.every((value, index) => value === before[index])) {
        state = after;
        return secret;
      }
      state = again;
    }
  };

  const judges = new Map<number, Judge>();
  const on = (id: number, judgeOne: Judge): void => void judges.set(id, judgeOne);
  const judge = (expression: number): Secret => {
    const info = binaryen.getExpressionInfo(expression);
    const judgeOne = judges.get(info.id);
    if (judgeOne === undefined) throw new Error(`instruction ${info.id} is not judged`);
    return judgeOne(info);
  };
  on(binaryen.BlockId, ({ name, children }: binaryen.BlockInfo) => {
    const secret = judgeAll(children);
    state = join(state, jumps.get(name) ?? state);
    return secret;
  });
  on(binaryen.LoopId, ({ name, body }: binaryen.LoopInfo) => judgeLoop(name, body));
  on(binaryen.IfId, ({ condition, ifTrue, ifFalse }: binaryen.IfInfo) => {
    demandPublic(judge(condition), 'a branch');
    const before = state;
    const yes = judge(ifTrue);
    const after = state;
    state = before;
    const no = ifFalse !== 0 && judge(ifFalse);
    state = join(after, state);
    return yes || no;
  });
  on(binaryen.BreakId, ({ name, condition, value }: binaryen.BreakInfo) => {
    if (condition !== 0) demandPublic(judge(condition), 'a jump');
    jumps.set(name, join(state, jumps.get(name) ?? state));
    return value !== 0 && judge(value);
  });
  on(binaryen.LoadId, ({ ptr }: binaryen.LoadInfo) => {
    demandPublic(judge(ptr), 'an address');
    return true;
  });
  on(binaryen.LocalGetId, ({ index }: binaryen.LocalGetInfo) => state[index] === true);
  on(binaryen.LocalSetId, ({ index, value }: binaryen.LocalSetInfo) => {
    const secret = judge(value);
    state = state.with(index, secret);
    return secret;
  });
  on(binaryen.ConstId, () => false);
  on(binaryen.UnaryId, ({ value }: binaryen.UnaryInfo) => judge(value));
  on(binaryen.BinaryId, ({ op, left, right }: binaryen.BinaryInfo) => {
    const secret = [judge(left), judge(right)].includes(true);
    if (!STEADY.has(op)) demandPublic(secret, 'an instruction of varying time');
    return secret;
  });

  judge(code.body);
  module.dispose();
  return [...found];
}

/** Of integers, without division: processors take the same time for them whatever the operands. */
const STEADY: ReadonlySet<number> = new Set([
  binaryen.AddInt32,
  binaryen.SubInt32,
  binaryen.AndInt32,
  binaryen.OrInt32,
  binaryen.XorInt32,
  binaryen.ShlInt32,
  binaryen.ShrSInt32,
  binaryen.ShrUInt32,
  binaryen.SubInt64,
  binaryen.ShrSInt64,
]);
