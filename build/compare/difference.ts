/** One thing in which an image is not what was built from the sources. */
export type DifferenceKind =
  | 'only-in-image'
  | 'only-in-rebuild'
  | 'content'
  | 'mode' // permission bits
  | 'kind' // a file in one, a folder or a link in the other
  | 'target' // of a symbolic link
  | 'hard-link'
  | 'archive' // bytes of a ramdisk that belong to no file's content: owners, times, order, padding
  | 'unreadable' // a ramdisk that is no archive from some byte on
  | 'field' // of the file's header, or of measurements.json
  | 'order' // of sections
  | 'checksum';

export interface Difference {
  /** `kernel`, `command line`, `ramdisk 2: rootfs/accord/gate.mjs`. */
  readonly where: string;
  readonly what: DifferenceKind;
  /** First byte that differs, from the start of the content. */
  readonly offset?: number;
  /** Mode, target, text, or `SHA-256 (bytes)` of a content: in the image that is judged … */
  readonly image?: string;
  /** … and in what was built. */
  readonly rebuild?: string;
}
