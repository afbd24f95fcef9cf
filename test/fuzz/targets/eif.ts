/** Enclave images: layout, measurement, and the signature inside, as `accord measure` reads them. */
import { bytesSource } from '../../../build/byte-source.ts';
import type { SourceCode } from '../../../build/byte-source.ts';
import { CRC_OFFSET, HEADER_BYTES, SECTION_HEADER_BYTES } from '../../../build/eif/format.ts';
import type { EifCode } from '../../../build/eif/format.ts';
import { scanEif } from '../../../build/eif/read.ts';
import { signatureSection } from '../../../build/eif/sign.ts';
import { checkSignature } from '../../../build/eif/verify-signature.ts';
import { createMeasurement, measureEif } from '../../../build/measure/pcr.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { isCborArray } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { issueCertificate, privateKeyPem, rootSpec } from '../../../orchestrator/local/pki.ts';
import { FIELDS, SECTIONS, anySections, encodeRaw, withRightCrc } from '../../build/eif/samples.ts';
import { encodeEif } from '../../build/eif/encode-eif.ts';
import { NOW } from '../../parties/attestation/testkit.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import { codesOf } from '../target.ts';
import type { Target } from '../target.ts';
import { readTlv, varyTlv, writeTlv } from '../tlv.ts';
import { readCbor, varyTree, writeCbor } from '../trees.ts';

const SIGNATURE = 4;

export async function open(): Promise<Target> {
  const plain = encodeEif(FIELDS, SECTIONS);
  const authority = await issueCertificate(rootSpec(NOW));
  const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(authority.certificate).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const { PCR0 } = await measureEif(plain);
  const { content } = signatureSection(PCR0, await privateKeyPem(authority), pem, new Date(NOW));
  return {
    codes: codesOf<EifCode | Extract<SourceCode, 'file/changed'>>(CODES),
    seeds: [plain, encodeEif(FIELDS, [...SECTIONS, { kind: 'signature', content }])],
    built: anySections.map((sections) => encodeEif(FIELDS, sections)),
    vary,
    repair: (bytes) => (bytes.length > HEADER_BYTES ? withRightCrc(bytes) : bytes),
    words: ['.eif', '-----BEGIN CERTIFICATE-----\n', '-----END CERTIFICATE-----', 'signing_certificate', 'signature'],
    maxBytes: 12_000,
    limitBytes: () => 24 * 1024 * 1024,
    async run(bytes) {
      const measurement = createMeasurement();
      const section: Uint8Array[] = [];
      await scanEif(bytesSource(bytes, 'image'), (piece, { kind }, index) => {
        measurement.update(kind, index, piece);
        if (kind === 'signature') section.push(new Uint8Array(piece));
      });
      const pcrs = measurement.finish();
      if (section.length === 0) return 'unsigned';
      return checkSignature(concat(...section), pcrs.PCR0, new Date(NOW)).valid ? 'signed' : 'signed by nobody';
    },
  };
}

interface Section {
  readonly type: number;
  readonly content: Uint8Array;
}

/** Another list of sections, laid out as it should be; or another signature in its section. */
function vary(bytes: Uint8Array, random: Random): Uint8Array {
  const sections = sectionsOf(bytes);
  const material = { others: [bytes], words: [], maxBytes: bytes.length + 8 };
  if (sections === undefined || sections.length === 0) return mutate(bytes, random, material);
  const at = random.int(sections.length);
  const section = sections[at] ?? { type: 1, content: new Uint8Array() };
  const signature = sections.findIndex(({ type }) => type === SIGNATURE);
  const changed = (): readonly Section[] => {
    if (signature >= 0 && random.chance(0.7)) {
      const old = sections[signature]?.content ?? new Uint8Array();
      return sections.with(signature, { type: SIGNATURE, content: varySignature(old, random) });
    }
    switch (random.int(6)) {
      case 0:
        return sections.toSpliced(at, 1);
      case 1:
        return [...sections, section];
      case 2:
        return [section, ...sections.toSpliced(at, 1)];
      case 3:
        return sections.with(at, { ...section, type: random.int(7) });
      case 4:
        return sections.with(at, { ...section, content: new Uint8Array() });
      default:
        return sections.with(at, {
          ...section,
          content: mutate(section.content, random, { ...material, maxBytes: 3_000 }),
        });
    }
  };
  return encodeRaw(random.pick([4, 4, 4, 4, 3, 2, 1, 5]), changed().slice(0, 32));
}

function sectionsOf(bytes: Uint8Array): readonly Section[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sections: Section[] = [];
  for (let at = HEADER_BYTES; at + SECTION_HEADER_BYTES <= bytes.length;) {
    const size = Number(view.getBigUint64(at + 4));
    const from = at + SECTION_HEADER_BYTES;
    if (size > bytes.length - from) return undefined;
    sections.push({ type: view.getUint16(at), content: bytes.slice(from, from + size) });
    at = from + size;
  }
  return bytes.length > CRC_OFFSET ? sections : undefined;
}

/** Mostly in the certificate, inside of its PEM, which stands as a list of numbers. */
function varySignature(content: Uint8Array, random: Random): Uint8Array {
  const tree = readCbor(content);
  const map = tree !== undefined && isCborArray(tree) ? tree[0] : undefined;
  const listed = map instanceof Map ? map.get('signing_certificate') : undefined;
  if (!(map instanceof Map) || listed === undefined || !isCborArray(listed) || random.chance(0.2)) {
    return (tree === undefined ? undefined : writeCbor(varyTree(tree, random))) ?? content;
  }
  const pem = Buffer.from(listed.filter((byte) => typeof byte === 'number')).toString('latin1');
  const der = new Uint8Array(Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64'));
  const parsed = readTlv(der);
  if (parsed === undefined) return content;
  const written = Buffer.from(writeTlv(varyTlv(parsed, random))).toString('base64');
  const text = `-----BEGIN CERTIFICATE-----\n${written}\n-----END CERTIFICATE-----\n`;
  const again: CborValue = [new Map([...map, ['signing_certificate', [...Buffer.from(text)]] as const])];
  return writeCbor(again) ?? content;
}

const CODES = {
  'eif/truncated': true,
  'eif/magic': true,
  'eif/version': true,
  'eif/flags': true,
  'eif/section-count': true,
  'eif/section-offset': true,
  'eif/section-size': true,
  'eif/section-type': true,
  'eif/section-order': true,
  'eif/section-missing': true,
  'eif/section-duplicate': true,
  'eif/unused-entry': true,
  'eif/oversize': true,
  'eif/trailing-bytes': true,
  'eif/crc-mismatch': true,
  'eif/signature': true,
  'file/changed': true,
} as const;
