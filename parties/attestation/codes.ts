/**
 * Everything that can be wrong with an attestation, one code each. The first group means "this is no attestation
 * document"; the second "it is one, and a check said no"; the last "the verifier was asked something impossible".
 */
import { Failure } from '../../policies/failure.ts';

export type MalformedCode =
  | 'attestation/truncated'
  | 'attestation/trailing-bytes'
  | 'attestation/too-large'
  | 'attestation/duplicate-key'
  | 'attestation/tag'
  | 'attestation/encoding' // any other fault of CBOR
  | 'attestation/not-cose-sign1'
  | 'attestation/protected-header'
  | 'attestation/unprotected-header'
  | 'attestation/missing-field'
  | 'attestation/unknown-field'
  | 'attestation/field-type'
  | 'attestation/field-size'
  | 'attestation/digest'
  | 'attestation/certificate-malformed';

export type RefusedCode =
  | 'attestation/algorithm' // the document is signed with something else than ES384
  | 'attestation/signature'
  | 'attestation/unknown-root'
  | 'attestation/certificate-algorithm'
  | 'attestation/certificate-key'
  | 'attestation/certificate-extension'
  | 'attestation/certificate-signature'
  | 'attestation/issuer-mismatch'
  | 'attestation/not-a-ca'
  | 'attestation/leaf-is-ca'
  | 'attestation/key-usage'
  | 'attestation/path-length'
  | 'attestation/expired'
  | 'attestation/not-yet-valid'
  | 'attestation/debug'
  | 'attestation/pcr-missing'
  | 'attestation/pcr-mismatch'
  | 'attestation/nonce-missing'
  | 'attestation/nonce-mismatch'
  | 'attestation/user-data'
  | 'attestation/policy-mismatch'
  | 'attestation/stale'
  | 'attestation/from-the-future';

export type AttestationCode = MalformedCode | RefusedCode | 'attestation/expectation';

export function malformed(code: MalformedCode, where: string, message: string): Failure<AttestationCode> {
  return new Failure('malformed', code, message, { where });
}

export function refused(code: RefusedCode, where: string, message: string, hint?: string): Failure<AttestationCode> {
  return new Failure('refused', code, message, hint === undefined ? { where } : { where, hint });
}
