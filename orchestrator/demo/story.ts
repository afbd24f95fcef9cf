/**
 * How the demo speaks: chapters, and in each of them facts and checks. A check that fails ends the story: the demo shows
 * what is true, or it shows nothing. The same facts are the result in `--json`.
 */
import { wrap } from '../../parties/cli/render-policy.ts';
import { Failure } from '../../policies/failure.ts';

export type DemoCode = 'demo/check-failed' | 'demo/verb-failed' | 'demo/not-started';

export interface Chapter {
  readonly title: string;
  readonly facts: readonly string[];
  readonly checks: readonly { readonly claim: string; readonly shown: string }[];
  /** Seconds since the demo began, when the chapter ended. */
  readonly at: number;
}

export interface Story {
  /** Said at once, before the first chapter. */
  opening(text: string): void;
  /** Ends the chapter before, and begins a new one. */
  chapter(title: string): void;
  /** Something the reader should know. */
  fact(text: string): void;
  /** A claim and what showed it. Throws `demo/check-failed` where `holds` is false. */
  check(claim: string, holds: boolean, shown: string): void;
  /** Progress for people, gone as soon as something else is said. */
  doing(text: string): void;
  /** All chapters so far. */
  chapters(): readonly Chapter[];
}

interface OpenChapter {
  readonly title: string;
  readonly facts: string[];
  readonly checks: { claim: string; shown: string }[];
  at: number;
}

/** A text that stands under its first word. */
const hanging = (indent: number, text: string): string => wrap(text, ' '.repeat(indent));

/** `say` writes to people; `now` gives milliseconds; `colour` where the terminal takes it; `redraw` where lines may be. */
export function createStory(
  say: (text: string) => void,
  now: () => number,
  style: { readonly colour: boolean; readonly redraw: boolean },
): Story {
  const began = now();
  const done: OpenChapter[] = [];
  const paint = (code: string, text: string): string => (style.colour ? `\u001B[${code}m${text}\u001B[0m` : text);
  const current = (): OpenChapter => {
    const last = done.at(-1);
    if (last === undefined) throw new RangeError('a story begins with a chapter');
    last.at = Math.round((now() - began) / 100) / 10;
    return last;
  };
  const clear = (): void => {
    if (style.redraw) say('\r\u001B[2K');
  };
  return {
    opening(text) {
      say(`${text} …\n`);
    },
    chapter(title) {
      clear();
      done.push({ title, facts: [], checks: [], at: 0 });
      current();
      say(`\n${paint('1', `${done.length}. ${title}`)}\n`);
    },
    fact(text) {
      clear();
      current().facts.push(text);
      say(hanging(5, text));
    },
    check(claim, holds, shown) {
      clear();
      if (!holds) {
        throw new Failure<DemoCode>('refused', 'demo/check-failed', `the demo claims "${claim}", and it is not so`, {
          where: shown,
          hint: 'this is a fault of Accord, or of this machine; keep the output and report it',
        });
      }
      current().checks.push({ claim, shown });
      say(`   ${paint('32', '✓')} ${hanging(5, claim).trimStart()}`);
      if (shown !== '') say(paint('2', hanging(7, shown)));
    },
    doing(text) {
      if (style.redraw) say(`\r\u001B[2K     ${paint('2', `${text} …`)}`);
    },
    chapters: () => done,
  };
}
