/** The page's script on a document of three parts: it says when nobody answers, and when somebody does again. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PAGE_HTML } from '../../../orchestrator/web/document.ts';

/** As much of an element as the script touches while there is no collaboration to show. */
class Part {
  textContent: string;
  hidden: boolean;

  constructor(textContent: string, hidden: boolean) {
    this.textContent = textContent;
    this.hidden = hidden;
  }

  toggleAttribute(name: string, force: boolean): void {
    expect(name).toBe('hidden');
    this.hidden = force;
  }
}

const OPENED = new Date('2027-06-30T12:00:00Z');
const none = async (): Promise<Response> => Response.json({ collaborations: [] });
const away = async (): Promise<Response> => Promise.reject(new TypeError('fetch failed'));

let main: Part;
let silence: Part;
let answer: () => Promise<Response>;

beforeEach(() => {
  vi.resetModules();
  vi.useFakeTimers({ now: OPENED });
  main = new Part('Loading…', false);
  silence = new Part('', true);
  const parts: Readonly<Record<string, Part>> = { '#collaborations': main, '#silence': silence };
  for (const selector of Object.keys(parts)) expect(PAGE_HTML).toContain(`id="${selector.slice(1)}"`);
  vi.stubGlobal('document', { querySelector: (selector: string) => parts[selector] ?? null });
  vi.stubGlobal('fetch', () => answer());
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(): Promise<void> {
  await import('../../../orchestrator/web/page.ts');
  await vi.advanceTimersByTimeAsync(0);
}

const inSeconds = (seconds: number): string => new Date(OPENED.getTime() + 1000 * seconds).toLocaleTimeString();

test('says since when the orchestrator has not answered, until it does', async () => {
  answer = none;
  await open();
  expect([main.textContent, silence.hidden]).toEqual([expect.stringContaining('No collaboration yet'), true]);

  await vi.advanceTimersByTimeAsync(3000);
  answer = away;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(silence).toMatchObject({ hidden: false, textContent: expect.stringContaining(`since ${inSeconds(3)}`) });

  answer = none;
  await vi.advanceTimersByTimeAsync(3000);
  expect(silence).toMatchObject({ hidden: true, textContent: '' });
});

test('says it where the first question is not answered, and where the answer is a problem', async () => {
  answer = async () => Response.json({ status: 503 }, { status: 503 });
  await open();
  expect(silence).toMatchObject({ hidden: false, textContent: expect.stringContaining(`since ${inSeconds(0)}`) });
  answer = none;
  await vi.advanceTimersByTimeAsync(3000);
  expect([main.textContent, silence.hidden]).toEqual([expect.stringContaining('No collaboration yet'), true]);
});
