import { expect, test } from 'vitest';
import { createTurns } from '../../../enclave/state/turns.ts';

const { signal } = new AbortController();
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

test('one at a time under a name, in the order of asking; other names do not wait', async () => {
  const turns = createTurns();
  const said: string[] = [];
  const work = (name: string) => async (): Promise<void> => {
    said.push(`${name} begins`);
    await tick();
    said.push(`${name} ends`);
  };
  const other = turns.take('y', signal, work('other'));
  await Promise.all(['a', 'b', 'c'].map((name) => turns.take('x', signal, work(name))));
  await other;
  expect(said.filter((text) => !text.startsWith('other'))).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']); // prettier-ignore
  expect(said.indexOf('other begins')).toBeLessThan(said.indexOf('a ends'));
});

test('what fails makes room, what is told to stop is not begun', async () => {
  const turns = createTurns();
  const stop = new AbortController();
  const failing = turns.take('x', signal, async () => {
    await tick();
    throw new Error('no');
  });
  let begun = false;
  const stopped = turns.take('x', stop.signal, async () => void (begun = true));
  const last = turns.take('x', signal, async () => 'last');
  stop.abort(new Error('over'));
  await expect(failing).rejects.toThrow('no');
  await expect(stopped).rejects.toThrow('over');
  expect(await last).toBe('last');
  expect(begun).toBe(false);
});
