/** The verifier as a browser gets it: bundled, without Node's modules and globals, and without code from strings. */
import { runInContext, createContext } from 'node:vm';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { expectationFor, makeChain, makeDocument, NOW, flipByte } from './testkit.ts';

const ENTRY = join(import.meta.dirname, '..', '..', '..', 'parties', 'attestation', 'verify.ts');

test('bundles for a browser and verifies there', async () => {
  const { outputFiles, warnings } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    globalName: 'attestation',
    target: 'es2022',
  });
  expect(warnings).toStrictEqual([]);
  const code = outputFiles.map(({ text }) => text).join('');
  expect(code).not.toMatch(/\brequire\(|node:/);
  expect(code.length).toBeLessThan(150_000);

  // What both have: no Buffer, no process, no require; and no eval.
  const page = createContext({ crypto, TextEncoder, TextDecoder }, { codeGeneration: { strings: false, wasm: false } });
  runInContext(code, page);
  const chain = await makeChain();
  const [root] = (await expectationFor(chain)).roots;
  const document = await makeDocument(chain);
  const judge = (hex: string): Promise<unknown> =>
    runInContext(
      `(async () => {
        const { parseAttestation, verifyAttestation, localRoot, notChecked } = attestation;
        const open = notChecked('not of interest here');
        const bytes = Uint8Array.from('${hex}'.match(/../g), (digits) => parseInt(digits, 16));
        try {
          const { root, debug } = await verifyAttestation(parseAttestation(bytes), {
            roots: [localRoot('${root?.sha256}')], at: new Date(${NOW}), pcrs: open, nonce: open, policyDigest: open,
            maxAgeMs: open, allowDebug: false,
          });
          return [root.kind, debug].join();
        } catch (error) {
          return error.code;
        }
      })()`,
      page,
    );
  expect(await judge(toHex(document))).toBe('local,false');
  expect(await judge(toHex(flipByte(document, -1)))).toBe('attestation/signature');
  expect(await judge(toHex(document.subarray(1)))).toBe('attestation/trailing-bytes');
});
