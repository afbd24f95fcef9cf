/**
 * XML as the bodies of S3's requests need it: elements, text, the five entities and character references. No DTD, no CDATA,
 * no processing instructions beyond the declaration; attributes are passed over. Depth at most 8.
 */
export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  /** Text directly inside, white space at the ends cut off. */
  readonly text: string;
}

const TOKEN =
  /<\/([A-Za-z][\w.-]*)\s*>|<([A-Za-z][\w.-]*)((?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/gy;
const MAX_DEPTH = 8;

/** The root element, or undefined where the text is not of this kind. */
export function readXml(source: string): XmlElement | undefined {
  const text = source.replace(/^\uFEFF?\s*(<\?xml[^>]*\?>)?/, '').trim();
  const root: Open = { name: '', children: [], text: '' };
  const stack = [root];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    const top = stack.at(-1);
    if (match === null || top === undefined) return undefined;
    const [, closing, opening, , selfClosing, characters] = match;
    if (closing !== undefined) {
      if (stack.length < 2 || top.name !== closing) return undefined;
      top.text = top.text.trim();
      stack.pop();
    } else if (opening !== undefined) {
      const element: Open = { name: opening, children: [], text: '' };
      top.children.push(element);
      if (selfClosing === '') stack.push(element);
      if (stack.length > MAX_DEPTH) return undefined;
    } else {
      const plain = unescaped(characters ?? '');
      if (plain === undefined) return undefined;
      top.text += plain;
    }
  }
  return stack.length === 1 && root.children.length === 1 && root.text.trim() === '' ? root.children[0] : undefined;
}

/** The text of the element at a path of names, or undefined. */
export function textAt(element: XmlElement | undefined, ...path: readonly string[]): string | undefined {
  return elementAt(element, ...path)?.text;
}

export function elementAt(element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce((inner, name) => inner?.children.find((child) => child.name === name), element);
}

interface Open {
  readonly name: string;
  readonly children: Open[];
  text: string;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescaped(text: string): string | undefined {
  let wrong = false;
  const plain = text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+));|&/g, (_, decimal, hex, name) => {
    const code = decimal !== undefined ? Number(decimal) : hex !== undefined ? Number.parseInt(hex, 16) : undefined;
    const character =
      code === undefined ? ENTITIES[String(name)] : code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
    if (character === undefined) wrong = true;
    return character ?? '';
  });
  return wrong ? undefined : plain;
}
