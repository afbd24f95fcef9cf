/** Copies of one enclave over the same anchors and the same host, both of which do as a test tells them. */
import { randomBytes } from 'node:crypto';
import type { Anchor, AnchorCode } from '../../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { Patience } from '../../../enclave/claims/ask.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import type { RecordStore } from '../../../enclave/state/record-store.ts';
import type { RecordsOptions } from '../../../enclave/state/records.ts';
import type { RecordSetting } from '../../../enclave/state/record-header.ts';
import { Failure } from '../../../policies/failure.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { realTimers } from '../real-timers.ts';

export const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
export const HASTE: Patience = { attempts: 2, attemptMs: 200, pauseMs: 1, graceMs: 20 };

/** A memory anchor that can be cut off, and can lose an acknowledgement of what it did. */
export interface MoodyAnchor extends Anchor {
  mood: 'well' | 'cut' | 'lose-acknowledgements';
  readonly asked: string[];
}

export function moodyAnchor(owner: string): MoodyAnchor {
  const inner = createMemoryAnchor(owner);
  const asked: string[] = [];
  const gone = (): never => {
    throw new Failure<AnchorCode>('environment', 'anchor/unavailable', 'not there');
  };
  return {
    ...inner,
    mood: 'well',
    asked,
    async claim(name, k, entry, signal) {
      asked.push(`claim ${name.split('/').at(-1)}/${k}`);
      if (this.mood === 'cut') return gone();
      const held = await inner.claim(name, k, entry, signal);
      return this.mood === 'lose-acknowledgements' ? gone() : held;
    },
    async holder(name, k, signal) {
      asked.push(`read ${name.split('/').at(-1)}/${k}`);
      return this.mood === 'well' ? inner.holder(name, k, signal) : gone();
    },
  };
}

/** A host's storage, laid open. */
export interface OpenStore extends RecordStore {
  readonly kept: Map<string, Uint8Array>;
  /** Called before a record is kept. */
  beforePut: () => Promise<void>;
  /** What is handed back instead. */
  instead: ((sha256: Uint8Array) => Uint8Array | undefined) | undefined;
}

export function openStore(): OpenStore {
  const kept = new Map<string, Uint8Array>();
  return {
    kept,
    beforePut: () => Promise.resolve(),
    instead: undefined,
    async put({ sha256, parts }) {
      await this.beforePut();
      kept.set(toHex(sha256), concat(...parts));
    },
    async get(sha256) {
      return this.instead === undefined ? kept.get(toHex(sha256)) : this.instead(sha256);
    },
  };
}

export interface Place {
  readonly anchors: readonly MoodyAnchor[];
  readonly store: OpenStore;
  readonly setting: RecordSetting;
  /** What a copy of the enclave is made with. */
  readonly options: RecordsOptions;
}

/** One collaboration with so many anchors. Default quorum: all. */
export async function collaborationOf(
  count: number,
  quorum: number = count,
  change: Partial<RecordsOptions> = {},
): Promise<Place> {
  const anchors = ['alice', 'bob', 'charlie'].slice(0, count).map(moodyAnchor);
  const store = openStore();
  const setting = { collaboration: 'screening', policyDigest: await policyDigest('one'), keysDigest: random(32) };
  const options: RecordsOptions = {
    setting,
    stateKey: random(32),
    anchors: { stores: anchors, quorum },
    store,
    random,
    timers: realTimers,
    patience: HASTE,
    ...change,
  };
  return { anchors, store, setting, options };
}
