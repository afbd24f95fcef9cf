/** What an image for Nitro is made of. */
import type { BootParts } from './boot-parts.ts';

/** As `measurements.json` tells it: everything that decides the measurements beside the policy, and nothing else. */
export interface EifInputs {
  readonly boot: BootParts['kind'];
  readonly kernel: { readonly version: string; readonly sha256: string };
  readonly init: { readonly sha256: string };
  /** The C library and bubblewrap: SHA-256 of the archive from Debian's packages, or a registry's image. */
  readonly base: { readonly debian: string } | { readonly image: string };
  readonly node: { readonly version: string; readonly platform: string };
  /** Native packages that the image carries as packages: `sharp@0.35.5`. */
  readonly packages: readonly string[];
  /** Packages that are part of the bundles. */
  readonly bundledPackages: readonly string[];
}
