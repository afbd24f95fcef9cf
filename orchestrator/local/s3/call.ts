/** One call of S3: who asks, at which endpoint, for what, and what the operations need to answer. */
import type { Principal } from '../iam/principal.ts';
import type { Trace } from '../kms/call.ts';
import type { State } from '../state.ts';
import type { HttpAnswer } from '../wire/http.ts';
import type { XmlNode } from '../wire/xml.ts';
import { writeXml } from '../wire/xml.ts';
import { XML_DECLARATION } from './errors.ts';
import type { S3Store } from './store.ts';

export interface S3Call {
  /** For example `PutObject`. */
  readonly operation: string;
  /** Empty for ListBuckets. */
  readonly bucket: string;
  /** Empty for operations on a bucket. */
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  /** What is left of the body when chunks and trailers are taken apart. */
  readonly body: Uint8Array;
  /** Headers that came after the body, signed or covered by nothing but TLS. */
  readonly trailers: ReadonlyMap<string, string>;
  readonly principal: Principal;
  /** Where the request was signed for, and arrived. */
  readonly region: string;
  /** Whether the host's name says that Region; `127.0.0.1` says none, as AWS's `s3.amazonaws.com`. */
  readonly regional: boolean;
  /** Milliseconds. */
  readonly now: number;
  readonly store: S3Store;
  readonly state: State;
  /** Condition keys that every request carries. */
  readonly baseContext: ReadonlyMap<string, readonly string[]>;
  readonly trace: Trace;
}

export type S3Operation = (call: S3Call) => Promise<HttpAnswer> | HttpAnswer;

type Headers = Readonly<Record<string, string>>;

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

export function xml(root: string, content: XmlNode, headers: Headers = {}): HttpAnswer {
  const body = `${XML_DECLARATION}<${root} xmlns="${NAMESPACE}">\n${writeXml(content, '  ')}</${root}>\n`;
  return { status: 200, contentType: 'application/xml', body, headers };
}

export function empty(status: 200 | 204, headers: Headers = {}): HttpAnswer {
  return { status, body: '', headers };
}
