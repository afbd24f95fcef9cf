/** Requests made from the OpenAPI document: every route and method, with values that fit it and values that do not. */
import * as fc from 'fast-check';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { sealEnvelope } from '../../../enclave/protocol/envelope.ts';
import { openApiDocument } from '../../../orchestrator/openapi.ts';
import { POLICIES } from './policies.ts';

/** The first policy, which trusts AWS, as the application of this target does. */
export const SCREENING: string = POLICIES[0] ?? '';

export const WORDS: readonly string[] = ['GET ', 'PUT ', 'POST ', 'DELETE ', 'OPTIONS ', 'HTTP/1.1', 'HTTP/1.0', '%00', '%2e%2e%2f', '%ff', '?copy=1', '?copy=0', '?copy=1&copy=2', '?copies=99999999999', '?copy[]=1', '?__proto__[a]=1', 'transfer-encoding: chunked\r\n', 'expect: 100-continue\r\n', 'content-encoding: gzip\r\n', 'content-type: application/json; charset=utf-16\r\n', 'upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n', 'origin: http://a\r\n', 'range: bytes=0-1\r\n', '{"policy":', '\\u0000', '\\ud800', '"__proto__"']; // prettier-ignore

type Json = Readonly<Record<string, unknown>>;
const at = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
const jsonOf = (value: unknown): Json => (typeof value === 'object' && value !== null ? { ...value } : {});

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly query: readonly string[];
  readonly body: 'json' | 'bytes' | undefined;
}

const OPERATIONS: readonly Operation[] = Object.entries(jsonOf(openApiDocument['paths'])).flatMap(([path, item]) =>
  ['get', 'put', 'post', 'delete'].flatMap((method): readonly Operation[] => {
    const operation = at(item, method);
    if (operation === undefined) return [];
    const parameters = at(operation, 'parameters');
    const query = (Array.isArray(parameters) ? parameters : []).map((one: unknown) => String(at(one, 'name')));
    const types = Object.keys(jsonOf(at(at(operation, 'requestBody'), 'content')));
    const body = types.includes('application/json') ? 'json' : types.length > 0 ? 'bytes' : undefined;
    return [{ method: method.toUpperCase(), path, query, body }];
  }),
);

interface Parts {
  readonly operation: Operation;
  readonly id: string;
  readonly name: string;
  readonly query: string;
  readonly headers: string;
  readonly body: Uint8Array;
}

function requestOf({ operation: { method, path, body: kind }, id, name, query, headers, body }: Parts): Uint8Array {
  const target = path.replace('{id}', id).replace('{function}', name) + query;
  const type = kind === 'json' ? 'application/json' : 'application/octet-stream';
  const sized =
    body.length === 0 && kind === undefined ? '' : `content-type: ${type}\r\ncontent-length: ${body.length}\r\n`;
  const head = `${method} ${target} HTTP/1.1\r\nhost: 127.0.0.1\r\n${headers}${sized}connection: close\r\n\r\n`;
  return concat(new Uint8Array(Buffer.from(head, 'latin1')), body);
}

const encoder = new TextEncoder();
const envelope = await collected();

async function collected(): Promise<Uint8Array> {
  const header = {
    keyArn: 'arn',
    dataKey: new Uint8Array(180),
    context: { purpose: 'model' },
    noncePrefix: new Uint8Array(7),
  };
  const parts: Uint8Array[] = [];
  for await (const part of sealEnvelope(header, new Uint8Array(32), [new Uint8Array(100)])) parts.push(part);
  return concat(...parts);
}

const goodBody = ({ body }: Operation): Uint8Array =>
  body === 'json'
    ? encoder.encode(JSON.stringify({ policy: SCREENING }))
    : body === 'bytes'
      ? envelope
      : new Uint8Array();

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom('', '..', '%00', '%', 'a'.repeat(300), '-', 'é', '\\'),
);

export const requests = {
  /** One good request an operation, and the collaboration's own page. */
  seeds: (id: string): readonly Uint8Array[] =>
    OPERATIONS.map((operation) =>
      requestOf({ operation, id, name: 'classify', query: '', headers: '', body: goodBody(operation) }),
    ),

  built: (id: string): fc.Arbitrary<Uint8Array> =>
    fc
      .record({
        operation: fc.constantFrom(...OPERATIONS),
        id: fc.oneof(
          { weight: 4, arbitrary: fc.constant(id) },
          { weight: 1, arbitrary: text.map(encodeURIComponentSafely) },
        ),
        name: fc.oneof(
          fc.constantFrom('classify', 'anchor.alice', 'anchor.', 'nobody'),
          text.map(encodeURIComponentSafely),
        ),
        value: fc.oneof(
          fc.constantFrom('1', '0', '-1', '99999999999', '1e3', ' 1', '01'),
          text.map(encodeURIComponentSafely),
        ),
        isAsked: fc.boolean(),
        headers: fc.constantFrom('', '', '', ...WORDS.filter((word) => word.endsWith('\r\n'))),
        policy: fc.oneof(fc.constantFrom(...POLICIES), fc.string(), fc.json()),
        shape: fc.nat(5),
        noise: fc.uint8Array({ maxLength: 60 }),
      })
      .map(({ operation, value, isAsked, policy, shape, noise, ...rest }) => {
        const name = operation.query[0] ?? 'copy';
        const query = isAsked && operation.query.length > 0 ? `?${name}=${value}` : '';
        return requestOf({ ...rest, operation, query, body: bodyOf(operation, policy, shape, noise) });
      }),
} as const;

function bodyOf(operation: Operation, policy: string, shape: number, noise: Uint8Array): Uint8Array {
  if (operation.body === undefined) return shape === 0 ? noise : new Uint8Array();
  if (shape === 0) return noise;
  if (shape === 1) return goodBody(operation);
  if (operation.body === 'bytes') return concat(envelope.subarray(0, noise.length * 5), noise);
  const body =
    shape === 2 ? { policy, more: 1 } : shape === 3 ? [policy] : shape === 4 ? { policy: [policy] } : { policy };
  return encoder.encode(JSON.stringify(body));
}

function encodeURIComponentSafely(value: string): string {
  return value.includes('%') ? value : encodeURIComponent(value.replaceAll(/\p{Surrogate}/gu, '?'));
}
