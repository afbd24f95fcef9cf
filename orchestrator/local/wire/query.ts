/**
 * The Query protocol, which STS speaks: parameters as a form (POST) or in the URL (GET), XML back.
 */
import type { AwsError } from '../errors.ts';
import { queryPairs } from '../sigv4.ts';
import type { HttpAnswer } from './http.ts';

const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/';

export interface XmlNode {
  readonly [element: string]: string | number | XmlNode;
}

/** The first value of each parameter; the body's for POST, the URL's for GET. */
export function readParameters(method: string, target: string, body: Uint8Array): ReadonlyMap<string, string> {
  const pairs = method === 'GET' ? queryPairs(target) : queryPairs(`?${new TextDecoder().decode(body)}`);
  return new Map(pairs.toReversed());
}

export function xmlAnswer(operation: string, result: XmlNode, requestId: string): HttpAnswer {
  return answer(200, `${operation}Response`, {
    [`${operation}Result`]: result,
    ResponseMetadata: { RequestId: requestId },
  });
}

export function xmlError(error: AwsError, requestId: string): HttpAnswer {
  return answer(error.status, 'ErrorResponse', {
    Error: { Type: error.status >= 500 ? 'Receiver' : 'Sender', Code: error.code, Message: error.message },
    RequestId: requestId,
  });
}

function answer(status: number, root: string, content: XmlNode): HttpAnswer {
  return {
    status,
    contentType: 'text/xml',
    body: `<${root} xmlns="${NAMESPACE}">\n${write(content, '  ')}</${root}>\n`,
  };
}

function write(node: XmlNode, indent: string): string {
  return Object.entries(node)
    .map(([name, value]) =>
      typeof value === 'object'
        ? `${indent}<${name}>\n${write(value, `${indent}  `)}${indent}</${name}>\n`
        : `${indent}<${name}>${escapeXml(String(value))}</${name}>\n`,
    )
    .join('');
}

/** What XML 1.0 cannot hold is dropped; messages can quote what a caller sent. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '')
    .replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
