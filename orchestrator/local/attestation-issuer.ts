/**
 * Signs attestation documents as AWS's hypervisor does, under a root of its own. The root is made once and kept in a
 * folder, since policies pin it; everything below it is made when needed and renewed before it expires, as on AWS.
 *
 *     FOLDER/root.json   certificate and private key, mode 0600; whoever holds it can forge every local document
 *     FOLDER/root.der    the certificate alone, for `accord attest --root`
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeCbor } from '../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../enclave/encoding/cbor.ts';
import { fromBase64, toBase64 } from '../../enclave/encoding/base64url.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { sha256 } from '../../enclave/crypto/digest.ts';
import { Failure } from '../../policies/failure.ts';
import { authoritySpecs, issueBelow, issueCertificate, leafSpec, privateKeyPem, readAuthority, rootSpec, signEs384 } from './pki.ts'; // prettier-ignore
import type { Authority } from './pki.ts';

export type IssuerCode = 'local-attestation/root-unreadable';

/** What a document says. Fields that are absent become CBOR null, as the NSM writes them. */
export interface Claims {
  readonly moduleId: string;
  /** Locked PCRs by index, in the order to write them. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly publicKey?: Uint8Array;
  readonly userData?: Uint8Array;
  readonly nonce?: Uint8Array;
  /** Milliseconds since 1970. Default: now. */
  readonly timestamp?: number;
}

export interface AttestationIssuer {
  /** DER. */
  readonly root: Uint8Array;
  /** Lower-case hex, for a policy's `trust.attestationRoot`. */
  readonly rootSha256: string;
  /** A signed document (untagged COSE_Sign1). */
  sign(claims: Claims): Promise<Uint8Array>;
  /** Writes `leaf.key` (PEM, mode 0600), `leaf.der` and `ca-0.der` (root) to `ca-3.der`, from which another program can
   *  sign as this enclave's NSM. Resolves with the time (milliseconds since 1970) from which on it should have another
   *  folder, so that its documents stay verifiable for as long as those of `sign`. */
  writeKeyFolder(folder: string, moduleId: string): Promise<number>;
}

export interface IssuerOptions {
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly now?: () => number;
}

/** Every document stays verifiable for at least so long after it was made. */
const LEAF_MARGIN_MS = 3_600_000;
/** Authorities outlive every leaf that they issue. */
const AUTHORITY_MARGIN_MS = 4 * LEAF_MARGIN_MS;

interface Chain {
  /** Root first, as in `cabundle`. */
  readonly authorities: readonly Authority[];
  readonly leaves: Map<string, Promise<Authority>>;
}

/** Opens the root kept in `folder`, or makes it. Several processes may do so at once: one root wins. */
export async function createAttestationIssuer(folder: string, options: IssuerOptions = {}): Promise<AttestationIssuer> {
  const now = options.now ?? Date.now;
  const root = await openRoot(folder, now());
  let chain = Promise.resolve(await newChain(root, now()));

  // Whoever finds a certificate about to expire starts its renewal; whoever comes meanwhile waits for the same one.
  const currentChain = async (): Promise<Chain> => {
    const found = chain;
    const current = await found;
    if (current.authorities.every(({ notAfter }) => notAfter > now() + AUTHORITY_MARGIN_MS)) return current;
    if (chain === found) chain = newChain(root, now());
    return chain;
  };

  const leafOf = async (moduleId: string): Promise<{ readonly chain: Chain; readonly leaf: Authority }> => {
    const current = await currentChain();
    const found = current.leaves.get(moduleId);
    const kept = await found;
    if (kept !== undefined && kept.notAfter > now() + LEAF_MARGIN_MS) return { chain: current, leaf: kept };
    if (current.leaves.get(moduleId) === found) {
      current.leaves.set(moduleId, issueCertificate(leafSpec(now(), moduleId), current.authorities.at(-1)));
    }
    return leafOf(moduleId);
  };

  return {
    root: root.certificate,
    rootSha256: toHex(await sha256(root.certificate)),
    async sign(claims) {
      const { chain: { authorities }, leaf } = await leafOf(claims.moduleId); // prettier-ignore
      const bundle = authorities.map(({ certificate }) => certificate);
      return signDocument(encodePayload({ timestamp: now(), ...claims }, leaf.certificate, bundle), leaf);
    },
    async writeKeyFolder(target, moduleId) {
      const { chain: { authorities }, leaf } = await leafOf(moduleId); // prettier-ignore
      await mkdir(target, { recursive: true, mode: 0o700 });
      await writeFile(join(target, 'leaf.key'), await privateKeyPem(leaf), { mode: 0o600 });
      await writeFile(join(target, 'leaf.der'), leaf.certificate);
      for (const [index, { certificate }] of authorities.entries()) {
        await writeFile(join(target, `ca-${index}.der`), certificate);
      }
      return leaf.notAfter - LEAF_MARGIN_MS;
    },
  };
}

async function newChain(root: Authority, now: number): Promise<Chain> {
  return { authorities: [root, ...(await issueBelow(root, authoritySpecs(now)))], leaves: new Map() };
}

/** The payload as the NSM has written it since August 2025: its nine keys, indefinite length, null for what is absent. */
export function encodePayload(
  claims: Claims & { readonly timestamp: number },
  certificate: Uint8Array,
  cabundle: readonly Uint8Array[],
): Uint8Array {
  const payload = new Map<string, CborValue>([
    ['module_id', claims.moduleId],
    ['digest', 'SHA384'],
    ['timestamp', claims.timestamp],
    ['pcrs', claims.pcrs],
    ['certificate', certificate],
    ['cabundle', cabundle],
    ['public_key', claims.publicKey ?? null],
    ['user_data', claims.userData ?? null],
    ['nonce', claims.nonce ?? null],
  ]);
  return encodeCbor(payload, { indefiniteMap: true });
}

const ES384_HEADER = encodeCbor(new Map([[1, -35]]));

/** An untagged COSE_Sign1 with ES384 over the payload, signed by `leaf`. */
export async function signDocument(payload: Uint8Array, leaf: Authority): Promise<Uint8Array> {
  const signed = encodeCbor(['Signature1', ES384_HEADER, new Uint8Array(), payload]);
  return encodeCbor([ES384_HEADER, new Map(), payload, await signEs384(leaf, signed)]);
}

async function openRoot(folder: string, now: number): Promise<Authority> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'root.json');
  const root = (await readRoot(path)) ?? (await makeRoot(path, now));
  await writeFile(join(folder, 'root.der'), root.certificate);
  return root;
}

async function readRoot(path: string): Promise<Authority | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const kept: { readonly certificate?: unknown; readonly privateKey?: unknown } = JSON.parse(text);
    if (typeof kept.certificate !== 'string' || typeof kept.privateKey !== 'string') throw new TypeError('not a root');
    return await readAuthority(fromBase64(kept.certificate), kept.privateKey);
  } catch (cause) {
    const hint = 'restore the file, or remove it and build every local image anew: their policies pin this root';
    const what = 'the kept root of local attestation cannot be read';
    throw new Failure<IssuerCode>('malformed', 'local-attestation/root-unreadable', what, { where: path, hint, cause });
  }
}

/** Written beside and linked into place, which fails where another process was first: then that one's root is ours. */
async function makeRoot(path: string, now: number): Promise<Authority> {
  const root = await issueCertificate(rootSpec(now));
  const kept = { certificate: toBase64(root.certificate), privateKey: await privateKeyPem(root) };
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(kept), { mode: 0o600, flush: true });
  try {
    await link(draft, path);
    return root;
  } catch (error) {
    const first = await readRoot(path);
    if (first === undefined) throw error;
    return first;
  } finally {
    await rm(draft, { force: true });
  }
}
