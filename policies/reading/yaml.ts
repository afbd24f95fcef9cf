/**
 * YAML, as far as an agreement needs it: one document of mappings, lists and plain values, JSON included. What makes a
 * text mean something else than it shows is refused: characters that are not seen (in comments too), anchors and aliases
 * (also the bombs made of them), tags, directives, duplicate keys, further documents, merge keys. Dates stay text; NaN and
 * infinities are not numbers here.
 */
import {
  Composer,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type CST,
  type Node,
  type Pair,
} from 'yaml';
import { BOUNDS } from '../bounds.ts';
import { MOST_FAULTS, type Fault, type PolicyCode, type Position } from '../fault.ts';
import { hiddenCharacters } from './hidden.ts';
import { formatPath, MAX_DEPTH, type Path, type Source, type SourceEntry } from './source.ts';

interface Text {
  readonly file: string;
  readonly lines: LineCounter;
  readonly faults: Fault[];
}

/** The document, or undefined after at least one fault was added. Never throws. */
export function parseYaml(text: string, file: string, faults: Fault[]): Source | undefined {
  const lines = new LineCounter();
  const context: Text = { file, lines, faults };
  if (text.length > BOUNDS.textBytes) {
    const message = `the text has ${text.length} characters; a policy has at most ${BOUNDS.textBytes}`;
    return fault(context, 0, [], 'policy/too-large', message, 'is this the right file?');
  }
  const before = faults.length;
  refuseHidden(context, text);
  if (faults.length > before) return undefined;
  const tokens = tokensOf(context, text);
  if (tokens === undefined) return undefined;
  for (const token of tokens) refuseDirective(context, token);
  const documents = [...new Composer(COMPOSER).compose(tokens, true, text.length)];
  for (const { errors } of documents) {
    for (const { code, message, pos } of errors.slice(0, MOST_FAULTS))
      fault(context, pos[0], [], 'policy/syntax', message, SYNTAX_HINTS[code]);
  }
  const [first, second] = documents;
  if (second !== undefined) {
    const message = 'a second document begins here; a policy is one';
    fault(context, second.range[0], [], 'policy/multiple-documents', message, 'remove the line `---`');
  }
  if (faults.length > before) return undefined;
  const root: Node | null = first?.contents ?? null;
  if (root === null || (isScalar(root) && root.value === null)) {
    return fault(context, 0, [], 'policy/empty', 'nothing is written here', 'start from one of the example policies');
  }
  return toSource(context, root, []);
}

/** Before anything is read: what follows such a character may not be where it seems to be. */
function refuseHidden(context: Text, text: string): void {
  const hidden = hiddenCharacters(text, MOST_FAULTS);
  if (hidden.length === 0) return;
  for (const { index } of text.matchAll(/^|(?<=\n)/g)) context.lines.addNewLine(index);
  for (const { offset, name } of hidden) {
    const message = `${name} is not seen, and can make the text show something else than it says`;
    fault(context, offset, [], 'policy/hidden-character', message, 'remove it; lines end with LF or CR LF');
  }
}

/**
 * Undefined, after a fault, for a text of too many pieces (each costs the parser a hundred times its bytes) and for one
 * nested too deep (parser and composer recurse). What comes after many errors is not read.
 */
function tokensOf(context: Text, text: string): readonly CST.Token[] | undefined {
  const { lines } = context;
  const parser = new Parser(lines.addNewLine);
  const tokens: CST.Token[] = [];
  let lexemes = 0;
  let errors = 0;
  const take = (token: CST.Token): void => {
    if (token.type === 'error') errors += 1;
    if (errors <= MOST_FAULTS) tokens.push(token);
  };
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    lexemes += 1;
    if (lexemes > BOUNDS.lexemes) {
      const message = `the text has more than ${BOUNDS.lexemes} marks and words; no policy needs so many`;
      return fault(context, 0, [], 'policy/too-large', message, 'is this the right file?');
    }
    for (const token of parser.next(lexeme)) take(token);
    // What is being read: the document, what it holds, what that holds.
    const deep = parser.stack[MAX_DEPTH + 2];
    if (deep !== undefined) {
      return fault(context, deep.offset, [], 'policy/too-deep', `nested deeper than ${MAX_DEPTH} levels`);
    }
  }
  for (const token of parser.end()) take(token);
  return tokens;
}

const COMPOSER = {
  version: '1.2',
  schema: 'core',
  merge: false,
  uniqueKeys: false, // reported here, with both places
  prettyErrors: false,
  logLevel: 'silent',
  keepSourceTokens: false,
} as const;

const SYNTAX_HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indent with spaces',
  BAD_INDENT: 'make the indentation equal to that of the lines beside it',
  MISSING_CHAR: 'is a quote, a bracket or a comma missing?',
  MULTILINE_IMPLICIT_KEY: 'is a colon, a quote or a bracket missing in a line before?',
  BLOCK_AS_IMPLICIT_KEY: 'a value that holds a colon and a space stands in quotes',
};

function fault(context: Text, offset: number, path: Path, code: PolicyCode, message: string, hint?: string): undefined {
  const place = { ...position(context, offset), path: formatPath(path), code, message };
  context.faults.push(hint === undefined ? place : { ...place, hint });
  return undefined;
}

function position({ file, lines }: Text, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  // An empty text has no lines to count.
  return { file, line: Math.max(1, line), column: Math.max(1, col) };
}

function refuseDirective(context: Text, token: CST.Token): void {
  if (token.type !== 'directive') return;
  const message = `the directive ${token.source.slice(0, 60)} changes how YAML is read`;
  fault(context, token.offset, [], 'policy/directive', message, 'remove it');
}

function toSource(context: Text, node: Node, path: Path): Source | undefined {
  const offset = node.range?.[0] ?? 0;
  const at = position(context, offset);
  refuseIndirection(context, node, path);
  if (isMap(node)) return { kind: 'map', at, entries: toEntries(context, node.items, path) };
  if (isSeq(node)) {
    const items = node.items.map((item, index) => toValue(context, item, offset, [...path, `[${index}]`]));
    return { kind: 'list', at, items: items.filter((item) => item !== undefined) };
  }
  if (!isScalar(node)) return undefined; // an alias, refused above
  const { value, source } = node;
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) {
    return { kind: 'scalar', at, value, text: source ?? String(value) };
  }
  if (typeof value === 'number' && Number.isFinite(value)) {
    return { kind: 'scalar', at, value, text: source ?? String(value) };
  }
  return fault(
    context,
    offset,
    path,
    'policy/bad-value',
    `${source ?? 'this'} is not a number`,
    'write a finite number',
  );
}

/** A value may be missing (`key:` and nothing more), which is read as null. */
function toValue(context: Text, node: unknown, offset: number, path: Path): Source | undefined {
  if (isNode(node)) return toSource(context, node, path);
  return { kind: 'scalar', at: position(context, offset), value: null, text: '' };
}

function toEntries(context: Text, pairs: readonly Pair[], path: Path): ReadonlyMap<string, SourceEntry> {
  const entries = new Map<string, SourceEntry>();
  for (const { key, value } of pairs) {
    const offset = isNode(key) ? (key.range?.[0] ?? 0) : 0;
    if (isNode(key)) refuseIndirection(context, key, path);
    if (!isScalar(key) || typeof key.value !== 'string') {
      const read = isScalar(key) ? `${key.source} is read as ${key.value === null ? 'nothing' : typeof key.value}` : '';
      fault(context, offset, path, 'policy/wrong-type', `a key must be text${read && `; ${read}`}`, 'put it in quotes');
      continue;
    }
    const inner = [...path, key.value];
    const keyAt = position(context, offset);
    const earlier = entries.get(key.value);
    if (earlier !== undefined) {
      const message = `this key stands here twice, first in line ${earlier.keyAt.line}`;
      fault(context, offset, inner, 'policy/duplicate-key', message, 'keep one of the two');
    }
    const item = toValue(context, value, offset, inner);
    if (item !== undefined) entries.set(key.value, { keyAt, value: item });
  }
  return entries;
}

function refuseIndirection(context: Text, node: Node, path: Path): void {
  const offset = node.range?.[0] ?? 0;
  const hint = 'write the value out where it stands: what is agreed must be readable in place';
  if (!('items' in node) && !isScalar(node)) {
    fault(
      context,
      offset,
      path,
      'policy/alias',
      `the alias *${node.source} stands for something written elsewhere`,
      hint,
    );
    return;
  }
  if (node.anchor !== undefined) {
    fault(context, offset, path, 'policy/alias', `the anchor &${node.anchor} names a value to repeat`, hint);
  }
  if (node.tag !== undefined) {
    fault(context, offset, path, 'policy/tag', `the tag ${node.tag} changes what the value is`, 'remove the tag');
  }
}
