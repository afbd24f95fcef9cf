/** The first chapters: what is agreed on, what is built from it, and who lets which key open to that. */
import { join } from 'node:path';
import { headerOf, hostAttempts, ownerAttempt } from './attacks.ts';
import { applyKeyPolicy, fieldsOf, homeOf, keyOf, makeHome, measurementsOf } from './cast.ts';
import type { Play, Scene } from './cast.ts';

export const trustOf = ({ stage }: Scene): readonly string[] => ['--trust', join(stage.awsFolder, 'trust.json')];

export async function tellPolicy(scene: Scene, policy: readonly string[]): Promise<void> {
  const { stage, story } = scene;
  story.chapter('The policy: one page, agreed on by parties who do not trust each other');
  const checked = await stage.must(['check', ...policy, ...trustOf(scene)]);
  const inWords: unknown = checked['inWords'];
  for (const sentence of Array.isArray(inWords) ? inWords : []) {
    if (typeof sentence === 'string' && /may call|contributes|written down|cannot|sees/.test(sentence))
      story.fact(sentence);
  }
  story.check(
    'accord check: no faults',
    checked['valid'] === true,
    `policy digest ${fieldsOf(checked).text('policyDigest')}`,
  );
}

/** The coordinator runs it; a party builds it too, and gets the same. */
export async function tellImage(scene: Scene, example: string, policy: readonly string[]): Promise<Play> {
  const { stage, story } = scene;
  story.chapter('The image: the policy becomes an enclave that can do nothing else');
  const play = await produce(scene, example, policy);
  const built = await stage.must(['measure', join(stage.orchestratorFolder, 'images', play.id, 'image.eif')]);
  story.check(
    'what the coordinator runs and what Alice built herself have the same measurements',
    sameMeasurements(play, built),
    `PCR0 ${play.measurements.PCR0}`,
  );
  story.fact(`PCR1 ${play.measurements.PCR1}`);
  story.fact(`PCR2 ${play.measurements.PCR2}`);
  return play;
}

function sameMeasurements({ measurements }: Play, built: Readonly<Record<string, unknown>>): boolean {
  return JSON.stringify(measurementsOf(built)) === JSON.stringify(measurements);
}

/** `accord run` by the coordinator, `accord build` by a party: the measurements are the party's. */
export async function produce(scene: Scene, example: string, files: readonly string[]): Promise<Play> {
  const { stage, story } = scene;
  story.doing('the coordinator builds and starts it (accord run)');
  const policy = [...files, ...trustOf(scene)];
  const run = await stage.must(['run', ...policy, '--orchestrator', stage.orchestratorUrl]);
  story.doing('a party builds it too (accord build)');
  const folder = join(stage.folder, 'parties-own-build', fieldsOf(run).text('id'));
  const own = await stage.must(['build', ...policy, '--target', stage.target, '-o', folder]);
  return {
    example,
    policy,
    id: fieldsOf(run).text('id'),
    policyDigest: fieldsOf(own).text('policyDigest'),
    measurements: measurementsOf(own),
    measurementsFile: join(folder, 'measurements.json'),
  };
}

/** Alice and Bob let their keys open to that image; then the host tries its luck. Gives the file it tried on. */
export async function tellKeys(scene: Scene, play: Play): Promise<string> {
  const { stage, story } = scene;
  story.chapter("The keys: each party's KMS key opens to that image alone");
  const parties = ['alice', 'bob'] as const;
  story.doing('each applies the key policy (accord key-policy --apply)');
  await Promise.all(
    parties.map(async (person) => {
      await applyKeyPolicy(scene, person, play);
      await makeHome(scene, person, play);
    }),
  );
  for (const person of parties) {
    story.fact(`${keyOf(person)} opens to PCR0 ${play.measurements.PCR0.slice(0, 16)}…, and to nothing else`);
  }
  const sealed = join(stage.folder, 'bob', 'weights.enc');
  const source = [
    'encrypt',
    join(play.example, 'model.onnx'),
    '-o',
    sealed,
    '--purpose',
    'model',
    '--function',
    'classify',
  ];
  await stage.must([...source, '--home', homeOf(scene, 'bob', play)]);
  const header = await headerOf(sealed);
  story.fact(
    'Bob encrypts his weights under his key. The host holds the file, is administrator of its own AWS account, and tries:',
  );
  for (const { operation, outcome } of await hostAttempts(header, stage.awsEnvironment)) {
    story.check(`the host's ${operation} with Bob's key is refused`, outcome === DENIED, outcome);
  }
  const owners = await ownerAttempt(header, 'bob', stage.awsEnvironment);
  story.check("Bob's own Decrypt, outside of an enclave, is refused too", owners.outcome === DENIED, owners.outcome);
  return sealed;
}

export const DENIED = 'AccessDeniedException';
