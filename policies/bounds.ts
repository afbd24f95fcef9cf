/** What a policy may ask for at most and at least. The gate's own limits are made of these. */
export const BOUNDS = {
  /** 256 KiB. Text of one file, before anything is parsed. */
  textBytes: 262_144,
  /** Pieces that YAML splits such a text into (words, marks, ends of lines): the largest policy an image carries has fewer. */
  lexemes: 100_000,
  /** 128 KiB - 64. The canonical policy is one environment string, and the kernel takes no longer one. */
  canonicalBytes: 131_008,
  parties: 64,
  functions: 64,
  calls: 1_000_000,
  /** Of all parties together: a counter keeps 16 bytes for each, and seals them anew with every call. */
  counterCalls: 100_000,
  /** 64 MiB. */
  inputBytes: 67_108_864,
  /** The longest refusal fits in less. */
  padToLeast: 512,
  /** 256 KiB: a padded answer is one frame. */
  padToMost: 262_144,
  /** Below `least` there would be no time left to seal in; 10 minutes. */
  afterMs: { least: 5, most: 600_000 },
  buckets: 32,
  tree: { depth: 32, nodes: 4095, features: 256 },
  topK: 1000,
  decimals: 6,
  /** 2^40: more than all calls of any party can carry in answers that are of use. */
  answerBits: 1_099_511_627_776,
  memoryMiB: { min: 64, max: 1_048_576 },
  cpus: { min: 1, max: 256 },
  tlsRoots: 8,
  /** An S3 key has at most 1024 bytes; the longest name of an entry has about 260. */
  prefixCharacters: 512,
} as const;
