/** The Nitro Secure Module as the enclave uses it. Behind it stands `/dev/nsm` or, on the local host, a unix socket. */
export interface AttestRequest {
  /** At most 1024 bytes each. */
  readonly publicKey?: Uint8Array;
  readonly userData?: Uint8Array;
  readonly nonce?: Uint8Array;
}

export interface Nsm {
  /** A signed attestation document (untagged COSE_Sign1). */
  attest(request: AttestRequest): Promise<Uint8Array>;
  /** Random bytes from the module, at most 256 a call. */
  random(bytes: number): Promise<Uint8Array>;
  /** PCR `index`, 48 bytes. */
  describePcr(index: number): Promise<Uint8Array>;
}
