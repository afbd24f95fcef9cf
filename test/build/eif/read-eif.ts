import { bytesSource } from '../../../build/byte-source.ts';
import { SECTION_HEADER_BYTES } from '../../../build/eif/format.ts';
import type { EifHeader, SectionEntry } from '../../../build/eif/format.ts';
import { scanEif } from '../../../build/eif/read.ts';

export interface Eif {
  readonly header: EifHeader;
  readonly sections: readonly (SectionEntry & { readonly content: Uint8Array })[];
}

/** A whole EIF in memory. */
export async function readEif(bytes: Uint8Array, name = 'EIF'): Promise<Eif> {
  const source = bytesSource(bytes, name);
  const { header, sections } = await scanEif(source, () => {});
  return {
    header,
    sections: sections.map((section) => {
      const start = section.offset + SECTION_HEADER_BYTES;
      return { ...section, content: new Uint8Array(bytes.subarray(start, start + section.bytes)) };
    }),
  };
}
