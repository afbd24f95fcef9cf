/** The strict reader of JSON against JSON.parse. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { NotJson, asObjects, parseJson } from '../../../enclave/encoding/strict-json.ts';

test('the strict parser reads what JSON.parse reads, but no name twice', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      expect(JSON.stringify(asObjects(parseJson(text, 10)))).toBe(JSON.stringify(JSON.parse(text)));
    }),
  );
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('{', '}', '"a"', ':', ',', '0', '1', '.', 'e', '-', '[', ']', 't', 'true') }),
      (text) => {
        let plain: unknown = NotJson;
        try {
          plain = JSON.parse(text);
        } catch {}
        try {
          expect(JSON.stringify(asObjects(parseJson(text, 30)))).toBe(JSON.stringify(plain));
        } catch (error) {
          if (!(error instanceof NotJson)) throw error;
          expect(plain === NotJson || error.fault !== 'syntax').toBe(true);
        }
      },
    ),
  );
});

test.each(['x', '\\n'])('a string of 16 million bytes of %j is read', (piece) => {
  const inside = piece.repeat(16_777_216 / piece.length);
  expect(parseJson(`"${inside}"`, 1)).toBe(JSON.parse(`"${inside}"`));
});
