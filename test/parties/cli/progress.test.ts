import { expect, test } from 'vitest';
import { byteProgress } from '../../../parties/cli/progress.ts';

function lines(...updates: readonly (readonly [string, number?, number?])[]): readonly string[] {
  const said: string[] = [];
  let time = 0;
  const progress = byteProgress({ err: (text) => said.push(text), interactive: false }, () => time);
  for (const update of updates) {
    progress.update(...update);
    time += 10_000;
  }
  progress.end();
  return said;
}

test('bytes are told in megabytes, steps in per cent alone, and a step without a measure by its name', () => {
  expect(
    lines(
      ['writing'],
      ['writing', 5_000_000, 20_000_000],
      ['compiling', 0, 1250],
      ['compiling', 625, 1250],
      ['asking'],
      ['asking'],
    ),
  ).toEqual(['writing, 25 % of 20 MB\n', 'compiling, 50 %\n', 'asking\n']);
});

test('what an engine prints cannot move the cursor', () => {
  expect(
    lines(['x'], ['docker: step 1 \u001B]0;title\u0007\u001B[2J'], ['docker: step 1 \u001B]0;title\u0007\u001B[2J']),
  ).toEqual(['docker: step 1 ?]0;title??[2J\n']);
});
