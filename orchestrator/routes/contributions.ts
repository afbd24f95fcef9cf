/** Encrypted contributions: streamed to the disk and from it, never held in memory. */
/* oxlint-disable oxc/no-async-endpoint-handlers -- express 5 treats a rejection as an error */
import { pipeline } from 'node:stream/promises';
import express from 'express';
import type { Request, Router } from 'express';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import type { Contributions } from '../contributions.ts';
import { tooLarge } from '../store/blobs.ts';

export type UploadCode = 'http/slow' | 'http/aborted';

const PATH = '/v1/collaborations/:id/contributions/:function';
/** An upload on which nothing arrives for so long is given up. */
const UPLOAD_IDLE_MS = 30_000;

export function contributionRoutes(contributions: Contributions): Router {
  const router = express.Router();

  router.put(PATH, async (request, response) => {
    const expectedBytes = announcedBytes(request);
    const stored = await contributions.put(request.params.id, request.params.function, {
      source: uploaded(request),
      expectedBytes,
    });
    response.status(201).json(stored);
  });

  router.get(PATH, async (request, response) => {
    const { id, function: name } = request.params;
    const { sha256 } = await contributions.get(id, name);
    const blob = await contributions.open(id, name);
    if (blob === undefined) {
      await contributions.get(id, name); // deleted meanwhile: says so
      return;
    }
    response.set({
      'content-type': 'application/octet-stream',
      'content-length': String(blob.bytes),
      'repr-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`, // RFC 9530
    });
    // A party that goes away in the middle is no error of ours.
    await pipeline(blob.stream, response).catch(() => response.destroy());
  });

  router.delete(PATH, async (request, response) => {
    await contributions.delete(request.params.id, request.params.function);
    response.status(204).end();
  });

  return router;
}

/** Refused before a byte is read where the announced length is too much. */
function announcedBytes(request: Request): number | undefined {
  const header = request.headers['content-length'];
  if (header === undefined) return undefined;
  const bytes = Number(header);
  if (bytes > LIMITS.contributionBytes) throw tooLarge(LIMITS.contributionBytes);
  return bytes;
}

async function* uploaded(request: Request): AsyncGenerator<Uint8Array> {
  let isSlow = false;
  request.setTimeout(UPLOAD_IDLE_MS, () => {
    isSlow = true;
    request.destroy(new Error('idle'));
  });
  try {
    for await (const chunk of request) if (chunk instanceof Uint8Array) yield chunk;
  } catch (cause) {
    throw isSlow
      ? new Failure<UploadCode>('environment', 'http/slow', 'the upload stood still for too long', { cause })
      : new Failure<UploadCode>('environment', 'http/aborted', 'the upload broke off', { cause });
  }
}
