/**
 * Which roots a TLS server may chain to: those the policy pins, and no general bundle. For `trust: aws` they are Amazon's
 * own, picked by SHA-256 of their DER out of those that Node carries; for a local trust the host hands them over and each
 * is compared with the policy's hashes.
 */
import { Failure } from '../../policies/failure.ts';
import type { Trust } from '../../policies/model.ts';
import { sha256 } from '../crypto/digest.ts';
import { fromBase64, toBase64 } from '../encoding/base64url.ts';
import { toHex } from '../encoding/hex.ts';

export type TlsRootCode = 'tls/root-unknown' | 'tls/root-missing';

/** https://www.amazontrust.com/repository/, to which every AWS endpoint chains. */
export const AMAZON_ROOTS = [
  '8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e', // Amazon Root CA 1
  '1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4', // Amazon Root CA 2
  '18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4', // Amazon Root CA 3
  'e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092', // Amazon Root CA 4
  '568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5', // Starfield Services Root CA - G2
] as const;

/**
 * PEM texts for TLS. `offered`: DER, from the host. `carried`: PEM, Node's own.
 * @throws Failure `tls/root-unknown` for one that the policy does not pin, `tls/root-missing` where one is not there
 */
export async function tlsRoots(
  trust: Trust,
  offered: readonly Uint8Array[],
  carried: readonly string[],
): Promise<readonly string[]> {
  const pinned: readonly string[] = trust === 'aws' ? AMAZON_ROOTS : trust.tlsRoots;
  const candidates = trust === 'aws' ? carried.map(derOf) : offered;
  const found = new Map<string, string>();
  for (const der of candidates) {
    const hash = toHex(await sha256(der));
    if (pinned.includes(hash)) found.set(hash, pemOf(der));
    else if (trust !== 'aws') throw refused('tls/root-unknown', `the host offered a TLS root ${hash}`);
  }
  const missing = pinned.find((hash) => !found.has(hash));
  if (missing !== undefined) throw refused('tls/root-missing', `nobody gave the TLS root ${missing}`);
  return [...found.values()];
}

function refused(code: TlsRootCode, what: string): Failure<TlsRootCode> {
  const message =
    code === 'tls/root-unknown' ? `${what}, which the policy does not pin` : `${what} that the policy pins`;
  return new Failure('refused', code, message, {
    hint: 'the host must serve the trust file that the image was built with',
  });
}

function derOf(pem: string): Uint8Array {
  return fromBase64(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'a carried root');
}

function pemOf(der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
