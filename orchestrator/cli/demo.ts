/** `accord demo`: the whole story on one machine, every claim of it checked. */
import { join } from 'node:path';
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments } from '../../parties/cli/arguments.ts';

export const verb: Verb = {
  help: `usage: accord demo [--json]

Alice has pictures, Bob a classifier, Charlie another one; the host is trusted by nobody. Starts AWS in miniature and the
orchestrator in a folder of its own, plays every part at the command line, tries what the host would try, and says what
is checked at each step. Takes about a minute on two idle cores; leaves nothing behind, however it ends.

  --json  the same as data: {ok, seconds, chapters: [{title, facts, checks: [{claim, shown}], at}]}

Exit codes: 0 every claim held, 10 one did not, 40 this machine could not play it, 130 stopped by Ctrl-C.
`,
  async run(argv, io) {
    const { values } = readArguments('demo', argv, { json: { type: 'boolean', default: false } });
    const { tell } = await import('../demo/tell.ts');
    const { createStory } = await import('../demo/story.ts');
    const now = (): number => performance.now();
    const story = createStory(values.json ? () => {} : io.out, now, {
      colour: io.interactive && io.env['NO_COLOR'] === undefined,
      redraw: io.interactive && !values.json,
    });
    const began = now();
    await tell(bin(), story, io);
    const seconds = Math.round((now() - began) / 100) / 10;
    const chapters = story.chapters();
    const checks = chapters.reduce((sum, chapter) => sum + chapter.checks.length, 0);
    if (values.json) io.out(`${JSON.stringify({ ok: true, seconds, chapters })}\n`);
    else io.out(`\n${checks} claims, each checked, in ${seconds} s.${NEXT}`);
    return 0;
  },
};

const NEXT = `
Nothing of it was real AWS: the keys, the attestation root and the enclave were stand-ins on this machine.
Next: policies/examples/ holds the policies of this story; README.md says how to play each part yourself.
`;

/** This command line's own entry, as each person in the story runs it. */
function bin(): string {
  return join(import.meta.dirname, 'bin.js');
}
