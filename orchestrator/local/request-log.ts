/**
 * What was asked and what came of it, one JSON line a request, as CloudTrail would keep it: names, never a plaintext, a
 * ciphertext or a credential. Tests and the demo read it to show what a host tried.
 */
import { appendFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncryptionContext } from '../../enclave/protocol/context.ts';
import type { Service } from './errors.ts';

export interface LoggedRequest {
  /** ISO 8601. */
  readonly at: string;
  readonly requestId: string;
  readonly service: Service | 'unknown';
  /** For example `Decrypt`. */
  readonly operation: string;
  /** ARN of the caller; null where the signature did not hold. */
  readonly principal: string | null;
  /** ARN of the key the call was about. */
  readonly key: string | null;
  /** What IAM was asked, in order, and what it said; empty where the call did not get so far. */
  readonly decisions: readonly { readonly action: string; readonly resource: string; readonly allowed: boolean }[];
  readonly encryptionContext: EncryptionContext | null;
  /** PCR0 of the attestation document that came with the request, verified; null without one. */
  readonly attestedImage: string | null;
  /** Null for success. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface RequestLog {
  append(entry: LoggedRequest): void;
  /** The requests since this process started, oldest first; at most the last thousand. */
  recent(): readonly LoggedRequest[];
  /** Resolves when everything appended so far is in the file. */
  flush(): Promise<void>;
}

export const LOG_FILE = 'requests.jsonl';

const KEEP = 1000;
/** 16 MiB. Past this the file is put aside as `requests.jsonl.1`, and the one before that is dropped. */
const MAX_BYTES = 16_777_216;

export async function openRequestLog(dataDir: string): Promise<RequestLog> {
  const path = join(dataDir, LOG_FILE);
  const recent: LoggedRequest[] = [];
  let bytes = await sizeOf(path);
  let queue: Promise<void> = Promise.resolve();
  const write = async (line: string): Promise<void> => {
    if (bytes > MAX_BYTES) {
      await rename(path, `${path}.1`);
      bytes = 0;
    }
    await appendFile(path, line, { mode: 0o600 });
    bytes += line.length;
  };
  return {
    append: (entry) => {
      recent.push(entry);
      if (recent.length > KEEP) recent.shift();
      // A full disk must not stop the service: the answer matters more than its record.
      queue = queue.then(() => write(`${JSON.stringify(entry)}\n`)).catch(() => undefined);
    },
    recent: () => recent.slice(),
    flush: () => queue,
  };
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
