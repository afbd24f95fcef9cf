/** The laws of the design, as tests. Each names what it forbids, and lists every breach at once. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOMS, ROOT, codeOf, reach, sources } from './sources.ts';

const all = sources();
const inRoom = (...rooms: readonly string[]) => all.filter((source) => rooms.includes(source.room));
/** Each process in the image has one root, where the world comes in. */
const ENCLAVE_ROOTS = ['enclave/main.ts', 'enclave/jail/decode.ts', 'enclave/jail/worker.ts'];

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
  test('no type is forced in the trusted rooms but to make a brand', () => {
    const forced = inRoom('policies', 'enclave')
      .filter((source) => source.path.endsWith('.ts') && !source.path.includes('/training/'))
      .flatMap((source) => {
        const brands = new Set(
          [...source.text.matchAll(/type (\w+)(?:<[^>]*>)? =[^;]*(?:__brand|unique symbol|Brand|\[\w+\]: true)/g)].map(
            (match) => match[1],
          ),
        );
        return [...codeOf(source).matchAll(/\)?\s+as\s+(?!const\b)(any|unknown as|never)\b/g)]
          .filter((match) => !brands.has(match[1]))
          .map((match) => `${source.path}: as ${match[1]}`);
      });
    expect(forced).toEqual([]);
  });
});

describe('law 6: time, randomness, the NSM, KMS and storage are arguments', () => {
  const WORLD =
    /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|process\.env|process\.hrtime|getRandomValues|randomBytes|randomUUID|randomInt)\b/g;

  test('only the roots of the enclave touch them', () => {
    const breaches = inRoom('enclave', 'policies')
      .filter((source) => !ENCLAVE_ROOTS.includes(source.path) && !source.path.includes('/training/'))
      .flatMap((source) => [...codeOf(source).matchAll(WORLD)].map((match) => `${source.path}: ${match[0]}`));
    expect(breaches).toEqual([]);
  });
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
