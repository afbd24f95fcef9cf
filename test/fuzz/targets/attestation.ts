/** Attestation documents, from bytes to verdict: COSE, CBOR payload, DER certificates, path, signature, contents. */
import { encodeCbor, isCborArray } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { createChainCache, parseAttestation, verifyAttestation } from '../../../parties/attestation/verify.ts';
import type { AttestationCode } from '../../../parties/attestation/verify.ts';
import { signEs384 } from '../../../orchestrator/local/pki.ts';
import type { Authority } from '../../../orchestrator/local/pki.ts';
import { expectationFor, leafOf, makeChain, makeDocument, makeEdited } from '../../parties/attestation/testkit.ts';
import type { Chain } from '../../parties/attestation/testkit.ts';
import { parsePolicyDigest } from '../../../policies/digest.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import { codesOf } from '../target.ts';
import type { Target } from '../target.ts';
import { readTlv, varyTlv, writeTlv } from '../tlv.ts';
import type { Tlv } from '../tlv.ts';
import { readCbor, varyTree, writeCbor } from '../trees.ts';

export async function open(): Promise<Target> {
  const chain = await makeChain();
  const seeds = [
    await makeDocument(chain),
    await makeDocument(chain, { userData: new Uint8Array(), nonce: new Uint8Array(1_024) }),
    await makeEdited(chain, (payload) => payload.delete('public_key'), false),
  ];
  const signer = createSigner(chain);
  const expectation = await expectationFor(chain, { allowDebug: true, skewMs: 0 });
  const strict = await expectationFor(chain, {
    nonce: new Uint8Array(32).fill(9),
    maxAgeMs: 60_000,
    pcrs: { 0: '01'.repeat(48), 1: '02'.repeat(48), 2: '03'.repeat(48), 4: '05'.repeat(48) },
    policyDigest: parsePolicyDigest('08'.repeat(48)),
  });
  const chains = createChainCache();
  let turn = 0;
  return {
    codes: CODES,
    refusedSeeds: ['attestation/user-data'],
    seeds,
    vary,
    repair: (document, random) => signer(document, random),
    words: ['SHA384', 'pcrs', 'cabundle', 'certificate', 'nonce', 'digest', 'timestamp'],
    maxBytes: 12_000,
    limitMs: 3_000,
    async run(bytes) {
      const document = parseAttestation(bytes);
      const { debug } = await verifyAttestation(document, turn++ % 4 === 0 ? strict : expectation, { chains });
      return debug ? 'debug' : 'verified';
    },
  };
}

/** Changes the envelope, the payload, or a certificate inside. */
function vary(bytes: Uint8Array, random: Random): Uint8Array {
  const cose = readCbor(bytes);
  if (cose === undefined || !isCborArray(cose) || !(cose[2] instanceof Uint8Array) || random.chance(0.1)) {
    const changed = cose === undefined ? undefined : writeCbor(varyTree(cose, random));
    return changed ?? mutate(bytes, random, { others: [bytes], words: [], maxBytes: bytes.length + 8 });
  }
  const payload = readCbor(cose[2]);
  if (!(payload instanceof Map))
    return mutate(bytes, random, { others: [bytes], words: [], maxBytes: bytes.length + 8 });
  const changed = random.chance(0.6) ? withCertificate(payload, random) : varyTree(payload, random);
  const written = writeCbor(changed, changed instanceof Map && random.chance(0.5));
  return written === undefined ? bytes : encodeCbor([cose[0] ?? null, cose[1] ?? null, written, cose[3] ?? null]);
}

function withCertificate(payload: ReadonlyMap<string | number, CborValue>, random: Random): CborValue {
  const bundle = payload.get('cabundle');
  const at = random.int(5);
  const old =
    at === 4 ? payload.get('certificate') : bundle !== undefined && isCborArray(bundle) ? bundle[at] : undefined;
  if (!(old instanceof Uint8Array)) return varyTree(payload, random);
  const tree = readTlv(old);
  const changed = tree === undefined ? old : writeTlv(varyTlv(tree, random));
  if (at === 4) return new Map([...payload, ['certificate', changed] as const]);
  const list = bundle !== undefined && isCborArray(bundle) ? bundle.with(at, changed) : [];
  return new Map([...payload, ['cabundle', list] as const]);
}

/** As a forger with every key but the pinned one could: certificates below the root and the document are signed anew. */
function createSigner({ certificates }: Chain): (bytes: Uint8Array, random: Random) => Promise<Uint8Array> {
  const resign = async (der: CborValue | undefined, issuer: Authority | undefined): Promise<CborValue> => {
    if (!(der instanceof Uint8Array) || issuer === undefined) return der ?? null;
    const tree = readTlv(der);
    const [tbs, algorithm] = tree?.children ?? [];
    if (tree === undefined || tbs === undefined || algorithm === undefined) return der;
    const raw = await signEs384(issuer, writeTlv(tbs));
    const signature: Tlv = { tag: 3, indefinite: false, content: Uint8Array.from([0, ...ecdsaOf(raw)]) };
    return writeTlv({ ...tree, children: [tbs, algorithm, signature] });
  };
  return async (bytes, random) => {
    const cose = readCbor(bytes);
    if (cose === undefined || !isCborArray(cose) || !(cose[2] instanceof Uint8Array)) return bytes;
    let payload: Uint8Array = cose[2];
    const map = readCbor(payload);
    if (map instanceof Map && random.chance(0.7)) {
      const bundle = map.get('cabundle');
      const below = bundle !== undefined && isCborArray(bundle) && bundle.length === 4 ? bundle : undefined;
      if (below !== undefined) {
        const signed = await Promise.all(
          below.map((der, at) => resign(der, at === 0 ? undefined : certificates[at - 1])),
        );
        const leaf = await resign(map.get('certificate'), certificates[3]);
        const again = new Map<string | number, CborValue>([...map, ['cabundle', signed], ['certificate', leaf]]);
        payload = writeCbor(again, payload[0] === 0xbf) ?? payload;
      }
    }
    const header = cose[0] ?? null;
    const signed = encodeCbor(['Signature1', header, new Uint8Array(), payload]);
    return encodeCbor([header, cose[1] ?? null, payload, await signEs384(leafOf({ certificates }), signed)]);
  };
}

/** r || s as DER. */
function ecdsaOf(raw: Uint8Array): Uint8Array {
  const integer = (half: Uint8Array): Tlv => {
    const first = half.findIndex((byte) => byte !== 0);
    const magnitude = half.subarray(first === -1 ? half.length - 1 : first);
    const padded = (magnitude[0] ?? 0) >= 0x80 ? Uint8Array.from([0, ...magnitude]) : magnitude;
    return { tag: 2, indefinite: false, content: padded };
  };
  const children = [integer(raw.subarray(0, 48)), integer(raw.subarray(48))];
  return writeTlv({ tag: 0x30, indefinite: false, content: new Uint8Array(), children });
}

const CODES = codesOf<Exclude<AttestationCode, 'attestation/expectation'>>({
  'attestation/debug': true,
  'attestation/truncated': true,
  'attestation/trailing-bytes': true,
  'attestation/too-large': true,
  'attestation/duplicate-key': true,
  'attestation/tag': true,
  'attestation/encoding': true,
  'attestation/not-cose-sign1': true,
  'attestation/protected-header': true,
  'attestation/unprotected-header': true,
  'attestation/missing-field': true,
  'attestation/unknown-field': true,
  'attestation/field-type': true,
  'attestation/field-size': true,
  'attestation/digest': true,
  'attestation/certificate-malformed': true,
  'attestation/algorithm': true,
  'attestation/signature': true,
  'attestation/unknown-root': true,
  'attestation/certificate-algorithm': true,
  'attestation/certificate-key': true,
  'attestation/certificate-extension': true,
  'attestation/certificate-signature': true,
  'attestation/issuer-mismatch': true,
  'attestation/not-a-ca': true,
  'attestation/leaf-is-ca': true,
  'attestation/key-usage': true,
  'attestation/path-length': true,
  'attestation/expired': true,
  'attestation/not-yet-valid': true,
  'attestation/pcr-missing': true,
  'attestation/pcr-mismatch': true,
  'attestation/nonce-missing': true,
  'attestation/nonce-mismatch': true,
  'attestation/user-data': true,
  'attestation/policy-mismatch': true,
  'attestation/stale': true,
  'attestation/from-the-future': true,
});
