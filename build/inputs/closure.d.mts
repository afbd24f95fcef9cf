/** A paragraph of an index, by field. */
export interface Paragraph {
  readonly Package: string;
  readonly Version: string;
  readonly [field: string]: string;
}

export declare function parseIndex(text: string): Map<string, Paragraph[]>;
export declare function resolveClosure(
  index: ReadonlyMap<string, readonly Paragraph[]>,
  roots: readonly string[],
  options: { readonly notNeeded: ReadonlySet<string>; readonly preferred: ReadonlyMap<string, string> },
): Paragraph[];
export declare function compareVersions(a: string, b: string): number;
