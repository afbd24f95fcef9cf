/** What a campaign did, in a few lines: a target that only ever meets its first check shows at once. */
import type { Campaign } from './supervise.ts';

const share = (part: number, whole: number): string => `${((100 * part) / Math.max(1, whole)).toFixed(1)} %`;

export function summaryOf(target: string, { executions, seconds, outcomes, codes, findings }: Campaign): string {
  const most = [...outcomes].sort(([, a], [, b]) => b - a);
  const list = (isTaken: boolean): string =>
    most
      .filter(([name]) => name.startsWith('taken ') === isTaken && name !== 'finding')
      .map(([name, times]) => `${name.replace(/^taken /, '')} ${share(times, executions)}`)
      .join(', ');
  const unseen = codes.filter((code) => !outcomes.has(code));
  const head = `${executions} executions in ${seconds.toFixed(1)} s (${Math.round(executions / Math.max(seconds, 0.001))}/s)`;
  const lines = [
    `fuzz: ${target.padEnd(12)} ${head}, ${findings.length === 0 ? 'nothing found' : `${findings.length} found`}`,
    `    taken:      ${list(true) || 'nothing'}`,
    `    refused:    ${list(false) || 'nothing'}`,
    ...(unseen.length === 0 ? [] : [`    never seen: ${unseen.join(', ')}`]),
  ];
  return `${lines.join('\n')}\n`;
}
