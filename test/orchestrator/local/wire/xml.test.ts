/** XML in and out, as S3 and IAM speak it. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { elementAt, readXml, textAt } from '../../../../orchestrator/local/wire/xml-read.ts';
import { writeXml } from '../../../../orchestrator/local/wire/xml.ts';

describe('reading', () => {
  test('elements, text, references, attributes passed over', () => {
    const root = readXml(
      '<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="http://x/"><B a=\'1\'> x &amp; &#121;&#x7a; </B><C/><D><E>e</E></D></A>',
    );
    expect(root?.name).toBe('A');
    expect(textAt(root, 'B')).toBe('x & yz');
    expect(textAt(root, 'C')).toBe('');
    expect(textAt(root, 'D', 'E')).toBe('e');
    expect(elementAt(root, 'D', 'F')).toBeUndefined();
  });

  test.each([
    ['nothing', ''],
    ['text alone', 'x'],
    ['two roots', '<A/><B/>'],
    ['text beside the root', '<A/>x'],
    ['an end that is missing', '<A><B></B>'],
    ['ends that cross', '<A><B></A></B>'],
    ['an end alone', '</A>'],
    ['a DTD', '<!DOCTYPE A [<!ENTITY x "y">]><A>&x;</A>'],
    ['an entity of its own', '<A>&x;</A>'],
    ['an ampersand alone', '<A>a & b</A>'],
    ['CDATA', '<A><![CDATA[x]]></A>'],
    ['a comment', '<A><!-- x --></A>'],
    ['a character beyond Unicode', '<A>&#9999999;</A>'],
    ['too deep', `${'<A>'.repeat(9)}${'</A>'.repeat(9)}`],
  ])('refuses %s', (_, text) => {
    expect(readXml(text)).toBeUndefined();
  });

  test('never throws', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('<', '>', '/', 'A', '&', ';', '"', '=', ' ', '!', 'x'), { maxLength: 60 }),
        (parts) => {
          readXml(parts.join(''));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

test('what was written reads back, whatever the text', () => {
  const printable = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[^\t\n\r\u0020-\uD7FF]/g, ''));
  fc.assert(
    fc.property(printable, (text) => {
      const root = readXml(
        `<Root>${writeXml({ One: text, Many: [text, 'x'], Nested: { Inner: text }, None: undefined })}</Root>`,
      );
      const trimmed = text.trim();
      expect(textAt(root, 'One')).toBe(trimmed);
      expect(root?.children.map(({ name }) => name)).toEqual(['One', 'Many', 'Many', 'Nested']);
      expect(textAt(root, 'Nested', 'Inner')).toBe(trimmed);
    }),
  );
});
