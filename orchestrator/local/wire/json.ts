/**
 * awsJson1.1, which KMS speaks: POST to `/`, the operation in `x-amz-target: TrentService.NAME`, JSON both ways, errors as
 * `{"__type": NAME, "message": TEXT}`. KMS writes `Message` with a capital where IAM refuses.
 */
import { AwsError } from '../errors.ts';
import type { HttpAnswer } from './http.ts';

const CONTENT_TYPE = 'application/x-amz-json-1.1';

export type JsonObject = Readonly<Record<string, unknown>>;

export function readJson(body: Uint8Array): JsonObject {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (isJsonObject(value)) return value;
  } catch {
    // Answered below, with the other bodies that are no JSON object.
  }
  throw new AwsError('SerializationException', 'The request body is not a JSON object.');
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function jsonAnswer(result: JsonObject): HttpAnswer {
  // Operations without a result answer with no body at all, as KMS does.
  const body = Object.keys(result).length === 0 ? '' : JSON.stringify(result);
  return { status: 200, contentType: CONTENT_TYPE, body };
}

export function jsonError(error: AwsError): HttpAnswer {
  const field = error.code === 'AccessDeniedException' ? 'Message' : 'message';
  const body = error.message === '' ? { __type: error.code } : { __type: error.code, [field]: error.message };
  return { status: error.status, contentType: CONTENT_TYPE, body: JSON.stringify(body) };
}
