/** Where sealed records lie: with the host, by their hash. It may lose them, and cannot pass one off as another. */
import type { Host, StoredBytes } from '../vsock/host.ts';

export interface RecordStore {
  /** Resolves once the bytes are kept under their SHA-256. Safe to repeat. */
  put(bytes: StoredBytes, signal: AbortSignal): Promise<void>;
  /** What lies under this SHA-256, as the store says: the reader compares. */
  get(sha256: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

export function hostRecordStore(host: Pick<Host, 'record' | 'putRecord'>): RecordStore {
  return {
    put: (bytes, signal) => host.putRecord(bytes, signal),
    get: (sha256, signal) => host.record(sha256, signal),
  };
}
