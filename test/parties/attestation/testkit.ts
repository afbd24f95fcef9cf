/**
 * Attestation documents made to order: a chain of one's own that is right in every respect, and named ways to spoil
 * exactly one. What is spoiled is signed again wherever the forger could have done so.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodePayload, signDocument } from '../../../orchestrator/local/attestation-issuer.ts';
import type { Claims } from '../../../orchestrator/local/attestation-issuer.ts';
import { authoritySpecs, issueCertificate, leafSpec, rootSpec, signEs384 } from '../../../orchestrator/local/pki.ts';
import type { Authority, CertificateSpec } from '../../../orchestrator/local/pki.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { localRootOf, notChecked, parseAttestation, verifyAttestation } from '../../../parties/attestation/verify.ts';
import type { Expectation, VerifiedAttestation, VerifyOptions } from '../../../parties/attestation/verify.ts';
import { Failure } from '../../../policies/failure.ts';

/** The time at which everything here is made. */
export const NOW: number = Date.UTC(2026, 5, 1, 12);
const MODULE_ID = 'i-0123456789abcdef0-enc0123456789abcdef';

/** Root, regional, zonal, instance, leaf. */
export interface Chain {
  readonly certificates: readonly Authority[];
}

const LEVELS = ['root', 'regional', 'zonal', 'instance', 'leaf'] as const;
export type Level = (typeof LEVELS)[number];

export type ChainEdits = Readonly<Partial<Record<Level, (spec: CertificateSpec) => CertificateSpec>>>;

/** A chain in which each level's specification may be edited before it is issued, and given other keys. */
export async function makeChain(
  edits: ChainEdits = {},
  keys: Partial<Record<Level, CryptoKeyPair>> = {},
): Promise<Chain> {
  const specs = [rootSpec(NOW), ...authoritySpecs(NOW), leafSpec(NOW, MODULE_ID)];
  const certificates: Authority[] = [];
  for (const [position, level] of LEVELS.entries()) {
    const spec = specs[position];
    if (spec === undefined) throw new RangeError(level);
    certificates.push(await issueCertificate(edits[level]?.(spec) ?? spec, certificates.at(-1), keys[level]));
  }
  return { certificates };
}

export function at<T>(list: readonly T[], position: number): T {
  const found = list.at(position);
  if (found === undefined) throw new RangeError(`nothing at ${position}`);
  return found;
}

export const leafOf = ({ certificates }: Chain): Authority => at(certificates, -1);
export const bundleOf = ({ certificates }: Chain): readonly Uint8Array[] =>
  certificates.slice(0, -1).map(({ certificate }) => certificate);
export const rootOf = ({ certificates }: Chain): Uint8Array => at(certificates, 0).certificate;

const pcr = (fill: number, bytes = 48): Uint8Array => new Uint8Array(bytes).fill(fill);

export const CLAIMS: Claims & { readonly timestamp: number } = {
  moduleId: MODULE_ID,
  pcrs: new Map([[0, pcr(1)], [1, pcr(2)], [2, pcr(3)], [3, pcr(0)], [4, pcr(5)]]), // prettier-ignore
  publicKey: pcr(7, 32),
  userData: pcr(8, 64),
  nonce: pcr(9, 32),
  timestamp: NOW,
};

/** A document of this chain; `claims` replaces what it says. */
export function makeDocument(chain: Chain, claims: Partial<Claims> = {}): Promise<Uint8Array> {
  const payload = encodePayload({ ...CLAIMS, ...claims }, leafOf(chain).certificate, bundleOf(chain));
  return signDocument(payload, leafOf(chain));
}

export type Payload = Map<string, CborValue>;

/** A document whose payload was edited as a map, then encoded (definite or not) and signed. */
export function makeEdited(chain: Chain, edit: (payload: Payload) => void, indefiniteMap = true): Promise<Uint8Array> {
  const payload: Payload = new Map<string, CborValue>([
    ['module_id', CLAIMS.moduleId],
    ['digest', 'SHA384'],
    ['timestamp', CLAIMS.timestamp],
    ['pcrs', CLAIMS.pcrs],
    ['certificate', leafOf(chain).certificate],
    ['cabundle', bundleOf(chain)],
    ['public_key', CLAIMS.publicKey ?? null],
    ['user_data', CLAIMS.userData ?? null],
    ['nonce', CLAIMS.nonce ?? null],
  ]);
  edit(payload);
  return signDocument(encodeCbor(payload, { indefiniteMap }), leafOf(chain));
}

/** A COSE_Sign1 with these parts, signed as they stand by the chain's leaf. */
export async function makeCose(
  chain: Chain,
  parts: { readonly header?: CborValue; readonly unprotected?: CborValue; readonly payload?: Uint8Array },
): Promise<readonly [Uint8Array, CborValue, Uint8Array, Uint8Array]> {
  const header = encodeCbor(parts.header ?? new Map([[1, -35]]));
  const payload = parts.payload ?? encodePayload(CLAIMS, leafOf(chain).certificate, bundleOf(chain));
  const signed = encodeCbor(['Signature1', header, new Uint8Array(), payload]);
  return [header, parts.unprotected ?? new Map(), payload, await signEs384(leafOf(chain), signed)];
}

/** A copy with one bit of one byte changed; negative positions count from the end. */
export function flipByte(bytes: Uint8Array, position: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  const index = position < 0 ? bytes.length + position : position;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}

/** Everything open but time and root: the tests state what they are about. */
export async function expectationFor(chain: Chain, overrides: Partial<Expectation> = {}): Promise<Expectation> {
  return {
    roots: [await localRootOf(rootOf(chain))],
    at: new Date(NOW),
    pcrs: notChecked('not of interest here'),
    nonce: notChecked('not of interest here'),
    policyDigest: notChecked('not of interest here'),
    maxAgeMs: notChecked('not of interest here'),
    allowDebug: false,
    ...overrides,
  };
}

/** Parses and verifies. */
export async function judge(
  bytes: Uint8Array,
  expectation: Expectation,
  options?: VerifyOptions,
): Promise<VerifiedAttestation> {
  return verifyAttestation(parseAttestation(bytes), expectation, options);
}

/** `valid`, or the failure's kind, code and place. Any other error is thrown: it would be a bug. */
export async function verdict(
  run: () => Promise<unknown>,
): Promise<'valid' | { readonly kind: string; readonly code: string; readonly where: string | undefined }> {
  try {
    await run();
    return 'valid';
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { kind: error.kind, code: error.code, where: error.where };
  }
}

/** One row of the vectors' index. */
export interface Vector {
  readonly file: string;
  readonly kind: 'genuine' | 'genuine-debug' | 'bad-cose-signature' | 'malformed-truncated';
  readonly moduleId: string;
  readonly timestampMs: number;
  readonly pcrs: Readonly<Record<string, string>>;
  readonly debugMode: boolean;
  readonly payloadIndefiniteLengthMap: boolean;
  readonly nonceHex: string | null;
  readonly userDataHex: string | null;
  readonly publicKeyHex: string | null;
  readonly certs: { readonly validity: readonly (readonly [string, string])[] };
}

export function readVectors(folder: string): readonly Vector[] {
  return JSON.parse(readFileSync(join(folder, 'attestation', 'index.json'), 'utf8'));
}

export function readVector(folder: string, file: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, 'attestation', file)));
}
