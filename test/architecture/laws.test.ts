/** The laws of the design, as tests. Each names what it forbids, and lists every breach at once. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOMS, ROOT, codeOf, reach, sources } from './sources.ts';

const all = sources();
const inRoom = (...rooms: readonly string[]) => all.filter((source) => rooms.includes(source.room));
/** Each process in the image has one root, where the world comes in. */
const ENCLAVE_ROOTS = [
  'enclave/main.ts',
  ...['decode', 'compute', 'record', 'tree'].map((jail) => `enclave/jail/${jail}.ts`),
];

test('the tree that the laws read is there', () => {
  for (const room of ROOMS) expect(inRoom(room).length, room).toBeGreaterThan(3);
  for (const root of ENCLAVE_ROOTS) expect(reach(root, all).length, root).toBeGreaterThan(2);
});

describe('law 1: untrusted code leans on trusted code, never the reverse', () => {
  test('imports go only downward', () => {
    const breaches = all.flatMap((source) =>
      source.own
        .filter((target) => {
          const to = ROOMS.findIndex((room) => target.startsWith(`${room}/`));
          return to === -1 ? source.room !== 'test' : to > ROOMS.indexOf(source.room);
        })
        .map((target) => `${source.path} -> ${target}`),
    );
    expect(breaches).toEqual([]);
  });

  test('policies import nothing of ours but policies', () => {
    const breaches = inRoom('policies').flatMap((source) =>
      source.own.filter((target) => !target.startsWith('policies/')),
    );
    expect(breaches).toEqual([]);
  });

  test('no two files import each other, directly or around', () => {
    const cycles = all.flatMap((source) =>
      source.own
        .filter((target) => reach(target, all).some((far) => far.path === source.path))
        .map((target) => `${source.path} <-> ${target}`),
    );
    expect(cycles).toEqual([]);
  });
});

describe('law 2: what is shared stands in the lowest room that runs it', () => {
  test('there is no drawer for odds and ends', () => {
    const drawers = ROOMS.flatMap((room) =>
      readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' }).filter((path) =>
        path.split('/').some((part) => /^(utils?|helpers?|common|shared|misc|lib)(\.\w+)*$/.test(part)),
      ),
    );
    expect(drawers).toEqual([]);
  });

  test('what stands in the enclave is in the image: one of its processes reaches it', () => {
    const reached = new Set(ENCLAVE_ROOTS.flatMap((root) => reach(root, all)).map(({ path }) => path));
    expect(
      inRoom('enclave')
        .map(({ path }) => path)
        .filter((path) => !reached.has(path)),
    ).toEqual([]);
  });
});

describe('law 3: YAML stops at the build', () => {
  test.each(ENCLAVE_ROOTS)('%s reaches no YAML parser and no schema compiler', (root) => {
    const breaches = reach(root, all).flatMap((source) =>
      source.imports.filter((name) => /^(yaml|ajv)($|\/)/.test(name)).map((name) => `${source.path} -> ${name}`),
    );
    expect(breaches).toEqual([]);
  });
});

describe('law 5: only the step that earns a brand makes it', () => {
  /** Where each branded type is made, and nowhere else. Brands under a symbol that their file keeps need no row. */
  const MADE_IN: ReadonlyMap<string, string> = new Map([
    ['PolicyDigest', 'policies/digest.ts'],
    ['AttestationDocument', 'parties/attestation/document.ts'],
    ['VerifiedAttestation', 'parties/attestation/verify.ts'],
    ['VerifiedChannel', 'parties/session/handshake.ts'],
  ]);
  const trusted = inRoom('policies', 'enclave', 'build', 'parties').filter(
    ({ path }) => path.endsWith('.ts') && !path.includes('/training/'),
  );

  /** What the code forces a value to be: `as X`, or a predicate `value is X` of a brand. */
  function forced(code: string): readonly string[] {
    const withoutImports = code.replaceAll(/^(?:import|export) (?:type )?(?:\{[^}]*\}|\* as \w+)(?= from|;)/gm, '');
    // Words in capitals alone are prose in messages (as JSON, as AWS); no type is named so.
    const asserted = withoutImports.matchAll(
      /\bas\s+(any|unknown|never|readonly|typeof|keyof|[A-Z]\w*[a-z]\w*|\{(?=\s*(?:readonly\s+)?\w+\??:)|\[\w)/g,
    );
    const predicates = withoutImports.matchAll(/\)\s*:\s*\w+ is (\w+)/g);
    return [
      ...[...asserted].map((match) => match[1] ?? ''),
      ...[...predicates].map((match) => match[1] ?? '').filter((name) => MADE_IN.has(name)),
    ];
  }

  test('no type is forced in the trusted rooms but a brand, where it is earned', () => {
    const breaches = trusted.flatMap((source) =>
      forced(codeOf(source))
        .filter((name) => MADE_IN.get(name) !== source.path)
        .map((name) => `${source.path}: as ${name}`),
    );
    expect(breaches).toEqual([]);
  });

  test('every brand of the list is made where the list says', () => {
    const made = trusted.flatMap((source) => forced(codeOf(source)).map((name) => `${name} ${source.path}`));
    expect(made.sort()).toEqual([...MADE_IN].map((row) => row.join(' ')).sort());
  });

  test.each([
    'const d = text as PolicyDigest;',
    'return (await f()) as\n  VerifiedChannel;',
    'const x = JSON.parse(text) as any;',
    'const x = y as unknown as Policy;',
    'const x = y as readonly string[];',
    'const x = y as { a: 1 };',
    'function isDigest(text: string): text is PolicyDigest {',
  ])('sees %s', (code) => {
    expect(forced(code)).not.toEqual([]);
  });

  test.each([
    "import { policyDigest as digestOf, X as Other } from './a.ts';",
    "import * as Everything from './a.ts';",
    'const OPTIONS = { a: 1 } as const;',
    '`the outcome as JSON`',
    'function isBytes(value: unknown): value is Uint8Array {',
  ])('does not take for one: %s', (code) => {
    expect(forced(code)).toEqual([]);
  });
});

/** A mark at the beginning is a part of the text for whoever reads the same bytes with another library. */
test('what the enclave is strict about in a text, it reads with its byte order mark', () => {
  const lax = inRoom('enclave').filter(({ text }) =>
    [...text.matchAll(/new TextDecoder\([^)]*fatal: true[^)]*\)/g)].some(([made]) => !made.includes('ignoreBOM: true')),
  );
  expect(lax.map(({ path }) => path)).toEqual([]);
});

describe('law 6: time, randomness, the NSM, KMS and storage are arguments', () => {
  const TOUCHES: readonly (readonly [string, RegExp])[] = [
    ['the clock', /\b(?:Date|performance)\s*\.\s*now\b|\bnew\s+Date\s*(?:\(\s*\)|;)|\bprocess\s*\.\s*hrtime\b/g],
    // Of the language itself; a socket has a method of this name.
    [
      'the clock',
      /(?:\bglobalThis\s*\.\s*|(?<![\w.]))set(?:Timeout|Interval|Immediate)\s*\(|\bAbortSignal\s*\.\s*timeout\b/g,
    ],
    ['randomness', /\bMath\s*\.\s*random\b|\b(?:getRandomValues|randomUUID)\b/g],
    // Called, or taken from an object; a constant may be named so.
    ['randomness', /\b(?:randomBytes|randomInt|randomFill|randomFillSync)\s*\(|\bcrypto\s*\.\s*random\w+/g],
    ['the environment', /\bprocess\s*\.\s*env\b/g],
  ];
  /** What `import { … } from 'node:crypto'` takes, renamed or not. */
  const CRYPTO_IMPORT = /import\s*(?:type\s*)?\{([^}]*)\}\s*from\s*['"](?:node:)?crypto['"]/g;

  /** Each touch of the world outside, in words of the code. */
  function touches(code: string): readonly string[] {
    const direct = TOUCHES.flatMap(([what, pattern]) =>
      [...code.matchAll(pattern)].map((match) => `${what}: ${match[0]}`),
    );
    const imported = [...code.matchAll(CRYPTO_IMPORT)].flatMap((match) =>
      [...(match[1] ?? '').matchAll(/\brandom\w+/g)].map((name) => `randomness: import { ${name[0]} }`),
    );
    return [...direct, ...imported];
  }

  test('only the roots of the enclave touch them', () => {
    const breaches = inRoom('enclave', 'policies')
      .filter((source) => !ENCLAVE_ROOTS.includes(source.path) && !source.path.includes('/training/'))
      .flatMap((source) => touches(codeOf(source)).map((touch) => `${source.path}: ${touch}`));
    expect(breaches).toEqual([]);
  });

  test.each([
    'const t = Date.now();',
    'const t = new Date();',
    'const clock = performance.now;',
    'const timer = setTimeout(run, 500);',
    'setInterval(() => look(), PERIOD_MS);',
    'const x = Math.random();',
    'crypto.getRandomValues(bytes);',
    'const { getRandomValues } = globalThis.crypto;',
    "import { randomBytes as bytes } from 'node:crypto';",
    "import {\n  createHash,\n  randomInt,\n} from 'crypto';",
    'const id = nodeCrypto.randomUUID();',
    'const bytes = nodeCrypto.randomBytes(32);',
    'const home = process.env.HOME;',
  ])('sees %s', (code) => {
    expect(touches(code)).not.toEqual([]);
  });

  test.each([
    'const LIMITS = { randomBytes: 256 } as const; check(LIMITS.randomBytes);',
    'const at = new Date(milliseconds);',
    'socket.setTimeout(0);',
    "import { createHash } from 'node:crypto';",
  ])('does not take for one: %s', (code) => {
    expect(touches(code)).toEqual([]);
  });
});

test('the gate reaches no program that reads an input or a model: pictures, ONNX, records, trees', () => {
  const gate = reach('enclave/main.ts', sources());
  expect(gate.map(({ path }) => path)).toContain('enclave/jail/gate-side.ts');
  const readers = /^enclave\/jail\/(decode|compute|record|tree|picture|tree-file|onnx\/.*)\.ts$/;
  expect(gate.filter(({ path }) => readers.test(path))).toEqual([]);
  expect(gate.filter(({ imports }) => imports.some((name) => /^(sharp|onnxruntime-node)$/.test(name)))).toEqual([]);
});

describe('what must run in a browser', () => {
  test('the verifier of attestations and the policy digest reach no module of Node', () => {
    const reached = ['parties/attestation/verify.ts', 'policies/digest.ts', 'policies/canonical.ts'].flatMap((entry) =>
      reach(entry, all),
    );
    const breaches = reached.flatMap((source) =>
      source.imports.filter((name) => name.startsWith('node:')).map((name) => `${source.path} -> ${name}`),
    );
    expect(breaches).toEqual([]);
    expect(reached.flatMap((source) => [...codeOf(source).matchAll(/\bBuffer\b/g)].map(() => source.path))).toEqual([]);
  });
});

test('a file holds one idea: none has more than 400 lines, and few more than 250', () => {
  const lengths = all
    .filter((source) => source.room !== 'test')
    .map((source) => ({ path: source.path, lines: source.text.split('\n').length }));
  expect(lengths.filter(({ lines }) => lines > 400)).toEqual([]);
  const long = lengths.filter(({ lines }) => lines > 250);
  expect(long.length / lengths.length, JSON.stringify(long)).toBeLessThan(0.1);
});
