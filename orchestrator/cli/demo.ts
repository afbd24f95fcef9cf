/** `accord demo`: the whole story on one machine, every claim of it checked. */
import { access, constants } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments, usage } from '../../parties/cli/arguments.ts';
import { fileFailure } from '../../parties/files.ts';
import type { Detection } from '../demo/detection.ts';

export const verb: Verb = {
  help: `usage: accord demo [--host local|qemu] [--picture FILE --model FILE --manifest FILE] [--json]

Alice has pictures, Bob a classifier, Charlie another one; the host is trusted by nobody. Starts AWS in miniature and the
orchestrator in a folder of its own, plays every part at the command line, tries what the host would try, and says what
is checked at each step. Takes about two minutes on two cores; leaves nothing behind, however it ends.

  --host local    enclaves are processes of this machine (default)
  --host qemu     the real image in QEMU's Nitro machine, with a kernel, an NSM and vsock of its own, and two chapters
                  more; some minutes, since every instruction is emulated. Needs \`npm run setup:qemu\` and a container
                  engine (\`npm run setup:engines\`)
  --picture, --model, --manifest
                  with --host qemu: a photograph and a detector of your own, in place of the example's
  --json          the same as data: {ok, seconds, chapters: [{title, facts, checks: [{claim, shown}], at}]}

Exit codes: 0 every claim held, 10 one did not, 40 this machine could not play it, 130 stopped by Ctrl-C.
`,
  async run(argv, io) {
    const { values } = readArguments('demo', argv, {
      host: { type: 'string', default: 'local' },
      picture: { type: 'string' },
      model: { type: 'string' },
      manifest: { type: 'string' },
      json: { type: 'boolean', default: false },
    });
    const { host } = values;
    if (host !== 'local' && host !== 'qemu') throw usage('demo', `--host takes local or qemu, not "${host}"`);
    const detection = await chosenDetection(values, host, io.cwd);
    const { tell } = await import('../demo/tell.ts');
    const { createStory } = await import('../demo/story.ts');
    const now = (): number => performance.now();
    const story = createStory(values.json ? () => {} : io.out, now, {
      colour: io.interactive && io.env['NO_COLOR'] === undefined,
      redraw: io.interactive && !values.json,
    });
    const began = now();
    await tell({ bin: bin(), host, detection }, story, io);
    const seconds = Math.round((now() - began) / 100) / 10;
    const chapters = story.chapters();
    const checks = chapters.reduce((sum, chapter) => sum + chapter.checks.length, 0);
    if (values.json) io.out(`${JSON.stringify({ ok: true, seconds, chapters })}\n`);
    else io.out(`\n${checks} claims, each checked, in ${seconds} s.${NEXT[host]}`);
    return 0;
  },
};

const READ_ON = `
Next: policies/examples/ holds the policies of this story; README.md says how to play each part yourself.
`;
const NEXT = {
  local: `
Nothing of it was real AWS: the keys, the attestation root and the enclave were stand-ins on this machine.${READ_ON}`,
  qemu: `
The image was the one that EC2 boots; the machine under it, the keys and the attestation root were stand-ins.${READ_ON}`,
} as const;

/** Throws `file/…` where nothing can be read at the path. */
async function mustBeReadable(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (error) {
    throw fileFailure(error, path, 'read');
  }
}

/** All three files or none; they are read by the verbs that take them, minutes later: so look first. */
async function chosenDetection(
  { picture, model, manifest }: { readonly picture?: string; readonly model?: string; readonly manifest?: string },
  host: string,
  cwd: string,
): Promise<Detection> {
  if (picture === undefined && model === undefined && manifest === undefined) {
    return (await import('../demo/detection.ts')).exampleDetection();
  }
  if (host !== 'qemu') throw usage('demo', '--picture, --model and --manifest go with --host qemu');
  if (picture === undefined || model === undefined || manifest === undefined) {
    throw usage('demo', '--picture, --model and --manifest go together');
  }
  const files = { picture: resolve(cwd, picture), model: resolve(cwd, model), manifest: resolve(cwd, manifest) };
  for (const path of Object.values(files)) await mustBeReadable(path);
  return files;
}

/** This command line's own entry, as each person in the story runs it. */
function bin(): string {
  return join(import.meta.dirname, 'bin.js');
}
