/** What `accord reproduce` found, for people. Texts from an image or a file of somebody else are shown without what a terminal obeys. */
import type { Difference, DifferenceKind } from '../../build/compare/difference.ts';
import type { LeafDifference } from '../../build/compare/leaves.ts';
import type { Reproduction } from '../../build/reproduce.ts';
import { printable } from '../printable.ts';
import { renderPcrs } from './measure.ts';
import { wrap } from './render-policy.ts';

const MOST_SHOWN = 30;

export function renderReproduction(
  found: Reproduction,
  { file, image }: { readonly file: string; readonly image: string | undefined },
): string {
  const { same, rebuilt, measurements, takenAsIs } = found;
  return [
    same ? verdict(found, image) : refusal(found, file, image),
    '\nBuilt here:\n',
    renderPcrs(rebuilt).replaceAll(/^/gm, '  ').trimEnd(),
    `\n  EIF   ${rebuilt.eif.sha384} (${rebuilt.eif.bytes} bytes)\n`,
    ...(measurements.length === 0 ? [] : [`\n${printable(file)}:\n`, ...shown(measurements.map(leaf))]),
    ...imageLines(found, image),
    '\nTaken as it is, not made here: this is what you still trust\n',
    ...takenAsIs.map((sentence) => wrap(printable(sentence), '    ', '  - ')),
  ].join('');
}

function verdict({ rebuilt, image: judged }: Reproduction, image: string | undefined): string {
  const what = `REPRODUCED: the ${rebuilt.target} image of ${printable(rebuilt.collaboration)}, measurement by measurement`;
  if (image === undefined || judged === undefined) return `${what}\n`;
  const bytes = judged.signature === undefined ? 'byte for byte' : 'byte for byte but for its signature';
  return `${what}; ${printable(image)} is that file, ${bytes}\n`;
}

/** Names what differs: the measurements, or an image beside measurements that are right. */
function refusal({ measurements }: Reproduction, file: string, image: string | undefined): string {
  return measurements.length === 0 && image !== undefined
    ? `DIFFERENT: ${printable(image)} is not what was built here; the measurements in ${printable(file)} are\n`
    : `DIFFERENT: what was built here is not what ${printable(file)} says\n`;
}

function imageLines({ image: judged, rebuilt }: Reproduction, image = 'the image'): readonly string[] {
  if (judged === undefined) return [];
  const { differences, signature, PCR8 } = judged;
  const lines = shown(differences.map(difference));
  if (signature !== undefined) {
    const words = signature.valid
      ? `signed by the key of ${signature.signer}; not compared, since nobody can make the same signature again`
      : `not of this image: ${signature.fault ?? ''}`;
    lines.push(wrap(printable(words), '    ', '  signature: '), `    PCR8 ${PCR8 ?? ''}\n`);
  }
  const isAsBuilt = differences.length === 0 && judged.file.sha384 === rebuilt.eif.sha384;
  if (lines.length === 0) return isAsBuilt ? [] : [`\n${printable(image)}: the same, without a signature\n`];
  return [`\n${printable(image)}, beside what was built here:\n`, ...lines];
}

function shown(lines: readonly string[]): string[] {
  if (lines.length <= MOST_SHOWN) return [...lines];
  return [...lines.slice(0, MOST_SHOWN), `  … and ${lines.length - MOST_SHOWN} more; --json lists all\n`];
}

function leaf({ path, claimed = 'nothing', rebuilt = 'nothing' }: LeafDifference): string {
  return `  ${printable(path)}\n    it says  ${printable(claimed)}\n    rebuilt  ${printable(rebuilt)}\n`;
}

const WORDS: Readonly<Record<DifferenceKind, string>> = {
  'only-in-image': 'only in the image',
  'only-in-rebuild': 'missing in the image',
  content: 'another content',
  mode: 'other permissions',
  kind: 'something else',
  target: 'a link elsewhere',
  'hard-link': 'linked otherwise',
  archive: 'the archive differs, outside of its files',
  unreadable: 'no archive from here on',
  field: 'another value',
  order: 'another order',
  checksum: 'a wrong checksum',
};

function difference({ where, what, offset, image, rebuild }: Difference): string {
  const place = offset === undefined ? '' : ` from byte ${offset} on`;
  const sides = [
    ...(image === undefined ? [] : [`    image    ${printable(image)}\n`]),
    ...(rebuild === undefined ? [] : [`    rebuilt  ${printable(rebuild)}\n`]),
  ];
  return `  ${printable(where)}: ${WORDS[what]}${place}\n${sides.join('')}`;
}
