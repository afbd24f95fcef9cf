import { crc32 } from '../../../build/eif/crc32.ts';
import type { SectionKind } from '../../../build/eif/format.ts';
import { planEif } from '../../../build/eif/plan.ts';
import type { HeaderFields } from '../../../build/eif/plan.ts';

/** What `writeEif` writes, in memory. */
export function encodeEif(
  fields: HeaderFields,
  inputs: readonly { readonly kind: SectionKind; readonly content: Uint8Array }[],
): Uint8Array {
  const plan = planEif(
    fields,
    inputs.map(({ kind, content }) => ({ kind, bytes: content.length, crc32: crc32(content) })),
  );
  const bytes = new Uint8Array(plan.fileBytes);
  bytes.set(plan.header);
  for (const [i, { offset }] of plan.sections.entries()) {
    const sectionHeader = plan.sectionHeaders[i] ?? new Uint8Array();
    bytes.set(sectionHeader, offset);
    bytes.set(inputs[i]?.content ?? new Uint8Array(), offset + sectionHeader.length);
  }
  return bytes;
}
