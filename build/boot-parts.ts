/** What a machine boots before the image's own files, and what it is known by. */
export interface BootParts {
  readonly kind: 'accord' | 'aws-blobs';
  /** Path of a bzImage. */
  readonly kernel: string;
  /** Without a line break. */
  readonly commandLine: string;
  /** The first ramdisk, a cpio archive. */
  readonly init: Uint8Array;
  /** Digests of the kernel and of the init program, 64 hex digits each. */
  readonly identity: {
    readonly kernel: { readonly version: string; readonly sha256: string };
    readonly init: { readonly sha256: string };
  };
}
