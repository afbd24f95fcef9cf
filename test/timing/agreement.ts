/** What is agreed to for the test: functions whose names, padded inputs and answers all have one size. */
import type { LocalTrust } from '../../policies/model.ts';
import { KEY_ARNS } from '../bench/samples.ts';

/** Every input is padded to it. */
export const BUCKET = 16_384;
export const PAD_TO = 1_024;
/** Counters take turns, since one seals its whole state anew with every call. */
export const COUNTERS = 8;
export const MANY = 12_000;

/** All of four letters. */
export const NAMES = {
  /** Counters, of which a call always succeeds: `cnt0` to `cnt7`. */
  counter: (turn: number): string => `cnt${turn % COUNTERS}`,
  /** One call, which is spent. */
  spent: 'gone',
  /** Bob's alone. */
  bobs: 'bobs',
  /** Takes less than a bucket. */
  tiny: 'tiny',
  /** Its model never comes. */
  bare: 'bare',
  /** Pictures: what comes of a call is for the picture to say. */
  pictures: 'pics',
  /** The same, and its model is exchanged after a call was made. */
  exchanged: 'swap',
  /** Its model takes too long. */
  slow: 'slow',
  /** In no policy. */
  unknown: 'none',
} as const;

/** When answers leave, in milliseconds: of functions of which no call that counts needs a jail, and of the others. */
export interface ReleaseTimes {
  readonly quick: number;
  readonly computing: number;
}
export type Release = keyof ReleaseTimes;

/** One that is in no policy has the longest time that is in it. */
export function releaseOf(functionName: string): Release {
  const computing: readonly string[] = [NAMES.pictures, NAMES.slow, NAMES.unknown];
  return computing.includes(functionName) ? 'computing' : 'quick';
}

export function policyOf(times: ReleaseTimes): (trust: LocalTrust) => string {
  const terms = { input: { maxBytes: BUCKET, buckets: [BUCKET] }, release: { afterMs: times.quick, padTo: PAD_TO } };
  const counter = (calls: object) => ({ ...terms, uses: 'counter', calls });
  const classifier = { ...terms, uses: 'image-classification', model: 'bob', output: { topK: 1, decimals: 2 } };
  const computing = { ...classifier, release: { afterMs: times.computing, padTo: PAD_TO } };
  const many = { alice: 1_000_000 };
  const counters = Array.from({ length: COUNTERS }, (_, turn) => [
    NAMES.counter(turn),
    counter({ alice: MANY / 2, bob: MANY / 2 }),
  ]);
  return (trust) =>
    JSON.stringify({
      apiVersion: 'accord/v1',
      collaboration: 'timing',
      until: '2099-12-31',
      parties: {
        alice: { role: 'data-owner', kmsKeyArn: KEY_ARNS.alice },
        bob: { role: 'model-owner', kmsKeyArn: KEY_ARNS.bob },
      },
      functions: {
        ...Object.fromEntries(counters),
        [NAMES.spent]: counter({ alice: 1 }),
        [NAMES.bobs]: counter({ bob: 1 }),
        [NAMES.tiny]: { ...counter({ alice: 100_000 }), input: { maxBytes: 1_024, buckets: [1_024] } },
        [NAMES.bare]: { ...classifier, calls: many },
        [NAMES.pictures]: { ...computing, calls: many },
        [NAMES.exchanged]: { ...classifier, calls: many },
        [NAMES.slow]: { ...computing, calls: many },
      },
      anchors: 'none',
      enclave: { memoryMiB: 1024, cpus: 2 },
      trust,
    });
}
