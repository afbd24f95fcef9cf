/** The last chapter: everything that the host saw, and everything that it did not. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Fields } from '../../parties/json-fields.ts';
import { fieldsOf, inputOf } from './cast.ts';
import type { Observed, ObservedCall, Play, Scene } from './cast.ts';
import { tellTimes } from './host-times.ts';
import { afterMsOf } from './release.ts';
import { createScanner } from './plaintext-scan.ts';
import type { Found, Scanner, Secret } from './plaintext-scan.ts';

/** Of the enclaves that run now. */
async function observe({ stage }: Scene, { id }: Play): Promise<Observed> {
  const response = await fetch(new URL(`/v1/collaborations/${id}/observed`, stage.orchestratorUrl));
  const entries = fieldsOf(await response.json()).list('entries');
  const of = (kind: string): readonly Fields[] => entries.filter((entry) => entry.text('kind') === kind);
  return {
    sessions: of('session').length,
    outbound: [...new Set(of('outbound').map((entry) => `${entry.text('host')}:${entry.count('port')}`))],
    calls: of('session').flatMap(callOf),
  };
}

/** Before an enclave ends: its notebook ends with it. */
export async function note(scene: Scene, play: Play): Promise<void> {
  scene.seen.push(await observe(scene, play));
}

/** A call is hello, authentication, request and input; what comes back last is its answer. */
function callOf(session: Fields): readonly ObservedCall[] {
  const frames = session.list('frames');
  const of = (direction: string): readonly Fields[] => frames.filter((frame) => frame.text('direction') === direction);
  const [asked, answered] = [of('to-enclave'), of('from-enclave')];
  const [last, answer] = [asked.at(-1), answered.at(-1)];
  if (asked.length < 4 || last === undefined || answer === undefined) return [];
  return [
    {
      openedAt: session.count('openedAt'),
      tookMs: answer.count('at') - last.count('at'),
      requestBytes: asked.slice(2).reduce((sum, frame) => sum + frame.count('bytes'), 0),
      answerBytes: answer.count('bytes'),
    },
  ];
}

export interface Played {
  readonly play: Play;
  /** Names of the pictures that were called with. */
  readonly pictures: readonly string[];
}

export async function tellHost(scene: Scene, played: readonly Played[]): Promise<void> {
  const { stage, story, seen: observed } = scene;
  story.chapter('What the host saw');
  const sizes = observed.flatMap(({ calls }) => calls.map(({ answerBytes }) => answerBytes));
  const distinct = [...new Set(sizes)];
  const sessions = observed.reduce((sum, one) => sum + one.sessions, 0);
  const outbound = [...new Set(observed.flatMap((one) => one.outbound))];
  story.fact(
    `${sessions} sessions, when they were opened and calls were made, and which size of the policy each input had.`,
  );
  story.fact(`Encrypted connections of the enclaves to ${outbound.join(', ')}, and nowhere else.`);
  story.check(
    'answers and refusals all had one size',
    sizes.length > 0 && distinct.length === 1,
    `${sizes.length} of ${distinct.join(', ')} bytes`,
  );
  const [first] = played;
  if (first !== undefined)
    tellTimes(scene, await afterMsOf(first.play.policy.filter((file) => file.endsWith('.yaml'))));
  story.doing('looking for plaintext in everything that the host stored and logged, and in the anchors');
  const secrets = (await Promise.all(played.map(secretsOf))).flat();
  const scanner = createScanner(secrets);
  demandSharp(scanner, secrets);
  const stored = await scanner.folder(stage.orchestratorFolder, UNWRITTEN);
  const found = [...stored.found, ...scanner.bytes(Buffer.from(stage.orchestratorLog()), 'its log')];
  story.check(
    'no picture, no weights and no label in what the host stored and logged',
    found.length === 0 && stored.files > 0,
    shown(found) ??
      `${scanner.needles} pieces of ${secrets.length} secrets looked for in ${stored.files} files and the log; the ` +
        "same search finds each of them in its owner's own file",
  );
  const anchors = await scanner.folder(join(stage.awsFolder, 's3'));
  story.check(
    "and none in the anchors: a bucket's owner sees that a call was made, by whom and of which function",
    anchors.found.length === 0 && anchors.files > 0,
    shown(anchors.found) ?? `${anchors.files} files of Alice's and Bob's buckets`,
  );
}

function shown(found: readonly Found[]): string | undefined {
  if (found.length === 0) return undefined;
  return found.map(({ secret, form, where }) => `${secret} as ${form} in ${where}`).join('; ');
}

/** Images and their unpacked copies hold what was built before there was any secret; each party measured them. */
const UNWRITTEN = ['images', 'run'];

/** The search would find every secret if it were there. */
function demandSharp(scanner: Scanner, secrets: readonly Secret[]): void {
  for (const { name, bytes } of secrets) {
    if (!scanner.bytes(bytes, name).some(({ secret }) => secret === name)) {
      throw new RangeError(`the search does not find ${name} in itself`);
    }
  }
}

async function secretsOf({ play, pictures }: Played): Promise<readonly Secret[]> {
  const read = async (path: string): Promise<Secret> => ({
    name: `${basename(play.example)}/${basename(path)}`,
    bytes: await readFile(path),
  });
  const manifest: unknown = JSON.parse(await readFile(join(play.example, 'manifest.json'), 'utf8'));
  const { labels } = { labels: [], ...(typeof manifest === 'object' ? manifest : {}) };
  const texts: readonly unknown[] = labels;
  return [
    ...(await Promise.all(pictures.map((picture) => read(inputOf(play, picture))))),
    await read(join(play.example, 'model.onnx')),
    ...texts.map(String).map((label) => ({ name: `label "${label}"`, bytes: Buffer.from(label) })),
  ];
}
