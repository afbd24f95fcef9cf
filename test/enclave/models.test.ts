import { expect, test } from 'vitest';
import type { Computer } from '../../enclave/jail/gate-side.ts';
import { createModelShelf } from '../../enclave/models.ts';

interface SlowComputer extends Computer {
  /** Lets `close` resolve. */
  end(): void;
  readonly isClosing: () => boolean;
}

function slowComputer(): SlowComputer {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  let closing = false;
  return {
    run: () => Promise.reject(new Error('nobody calls')),
    pids: () => [],
    close: () => {
      closing = true;
      return ended;
    },
    end: () => end(),
    isClosing: () => closing,
  };
}

test('what a call gives back while the shelf closes is closed too, and waited for', async () => {
  const shelf = createModelShelf();
  const [first, second] = [slowComputer(), slowComputer()];
  shelf.replace('classify', { sha256: '01', computer: first });
  const borrowed = shelf.borrow('classify');
  shelf.replace('classify', { sha256: '02', computer: second });
  expect(first.isClosing()).toBe(false);
  let isClosed = false;
  const closed = shelf.close().then(() => (isClosed = true));
  borrowed?.giveBack();
  expect([first.isClosing(), second.isClosing()]).toEqual([true, true]);
  second.end();
  await new Promise((resolve) => setImmediate(resolve));
  expect(isClosed).toBe(false);
  first.end();
  await closed;
});
