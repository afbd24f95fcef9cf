import type { Weakening } from '../../policies/weakenings.ts';

const WIDTH = 100;

/** Words of a sentence in lines that fit a terminal, each after `indent`, the first after `first`. */
export function wrap(text: string, indent: string, first: string = indent): string {
  const lines: string[] = [];
  let line = first;
  for (const word of text.split(' ')) {
    if (line.length + word.length > WIDTH && line.trim() !== first.trim()) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return `${[...lines, line.trimEnd()].join('\n')}\n`;
}

export function renderWeakenings(weakenings: readonly Weakening[]): string {
  if (weakenings.length === 0) return 'No weakening.\n';
  const items = weakenings.map(({ code, text }) => wrap(`${text} [${code}]`, '    ', '  ! '));
  return `What protects less than it could:\n${items.join('')}`;
}
