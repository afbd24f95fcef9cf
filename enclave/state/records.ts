/** What the enclave must not forget: named records, each in numbered versions, of which only the newest counts. */
export interface Records {
  /** The newest version; undefined where there is none yet. */
  read(name: string, signal: AbortSignal): Promise<{ version: number; bytes: Uint8Array } | undefined>;
  /**
   * Stores and claims what `change` makes of the newest version, and resolves once that holds. Where another copy was
   * faster, `change` is called again with what that one wrote. Without `next` nothing is written.
   */
  update<T>(
    name: string,
    change: (current: Uint8Array | undefined) => Promise<{ next?: Uint8Array; result: T }>,
    signal: AbortSignal,
  ): Promise<T>;
}
