/**
 * The Query protocol, which STS and IAM speak: parameters as a form (POST) or in the URL (GET), XML back.
 */
import type { AwsError, Service } from '../errors.ts';
import { queryPairs } from '../signed-request.ts';
import type { HttpAnswer } from './http.ts';
import type { XmlNode } from './xml.ts';
import { writeXml } from './xml.ts';

export type QueryService = Extract<Service, 'sts' | 'iam'>;

export const VERSIONS: Readonly<Record<QueryService, string>> = { sts: '2011-06-15', iam: '2010-05-08' };

const NAMESPACES: Readonly<Record<QueryService, string>> = {
  sts: `https://sts.amazonaws.com/doc/${VERSIONS.sts}/`,
  iam: `https://iam.amazonaws.com/doc/${VERSIONS.iam}/`,
};

/** The first value of each parameter; the body's for POST, the URL's for GET. */
export function readParameters(method: string, target: string, body: Uint8Array): ReadonlyMap<string, string> {
  const pairs = method === 'GET' ? queryPairs(target) : queryPairs(`?${new TextDecoder().decode(body)}`);
  return new Map(pairs.toReversed());
}

/** An operation without a result answers with its metadata alone. */
export function xmlAnswer(service: QueryService, operation: string, result: XmlNode, requestId: string): HttpAnswer {
  return answer(200, NAMESPACES[service], `${operation}Response`, {
    [`${operation}Result`]: Object.keys(result).length === 0 ? undefined : result,
    ResponseMetadata: { RequestId: requestId },
  });
}

export function xmlError(service: QueryService, error: AwsError, requestId: string): HttpAnswer {
  return answer(error.status, NAMESPACES[service], 'ErrorResponse', {
    Error: { Type: error.status >= 500 ? 'Receiver' : 'Sender', Code: error.code, Message: error.message },
    RequestId: requestId,
  });
}

function answer(status: number, namespace: string, root: string, content: XmlNode): HttpAnswer {
  return {
    status,
    contentType: 'text/xml',
    body: `<${root} xmlns="${namespace}">\n${writeXml(content, '  ')}</${root}>\n`,
  };
}
