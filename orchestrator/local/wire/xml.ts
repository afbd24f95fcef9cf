/** XML as AWS's services write it: elements only, several of one name where a list is meant. */
export type XmlValue = string | number | boolean | XmlNode | readonly XmlValue[];

/** An undefined element is left out. */
export interface XmlNode {
  readonly [element: string]: XmlValue | undefined;
}

/** The elements of the node, indented, without a root. */
export function writeXml(node: XmlNode, indent = ''): string {
  return Object.entries(node)
    .flatMap(([name, value]) => (isList(value) ? value : [value]).map((each) => writeElement(name, each, indent)))
    .join('');
}

function writeElement(name: string, value: XmlValue | undefined, indent: string): string {
  if (value === undefined || isList(value)) return '';
  const content = typeof value === 'object' ? `\n${writeXml(value, `${indent}  `)}${indent}` : escapeXml(String(value));
  return `${indent}<${name}>${content}</${name}>\n`;
}

function isList(value: XmlValue | undefined): value is readonly XmlValue[] {
  return Array.isArray(value);
}

/** What XML 1.0 cannot hold is dropped; messages can quote what a caller sent. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '')
    .replace(/[<>&"'\r]/g, (c) => `&#${c.charCodeAt(0)};`);
}
