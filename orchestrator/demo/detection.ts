/** A chapter for real machines: what is on a photograph, found inside. */
import { join } from 'node:path';
import { produce } from './agreement.ts';
import { applyKeyPolicy, exampleFolder, fieldsOf, homeOf, makeHome } from './cast.ts';
import type { Scene } from './cast.ts';
import { policyOf } from './release.ts';

export interface Detection {
  readonly picture: string;
  readonly model: string;
  readonly manifest: string;
}

const EXAMPLE = 'object-detection';

/** The picture and the detector that Accord brings along. */
export function exampleDetection(): Detection {
  const folder = exampleFolder(EXAMPLE);
  return {
    picture: join(folder, 'inputs', 'alice-1.jpg'),
    model: join(folder, 'model.onnx'),
    manifest: join(folder, 'manifest.json'),
  };
}

export async function tellDetection(scene: Scene, { picture, model, manifest }: Detection): Promise<void> {
  const { stage, story } = scene;
  story.chapter('Object detection: what is on a photograph, and where');
  const example = exampleFolder(EXAMPLE);
  const play = await produce(scene, example, await policyOf(scene, example));
  await Promise.all(
    (['alice', 'bob'] as const).map(async (person) => {
      await applyKeyPolicy(scene, person, play, ['--add']);
      await makeHome(scene, person, play);
    }),
  );
  story.doing('Bob contributes a detector');
  const bob = homeOf(scene, 'bob', play);
  await stage.must(['contribute', 'detect', '--model', model, '--manifest', manifest, '--home', bob]);
  story.doing('Alice calls detect');
  const answer = await stage.must(['call', 'detect', '--input', picture, '--new', '--home', homeOf(scene, 'alice', play)]); // prettier-ignore
  const found = fieldsOf(answer)
    .list('objects')
    .map((object) => object.text('label'));
  story.check('objects are found on her photograph', found.length > 0, inNumbers(found));
  await stage.must(['stop', play.id, '--orchestrator', stage.orchestratorUrl]);
}

/** `5 × aeroplane, 1 × bird`. */
function inNumbers(labels: readonly string[]): string {
  return [...new Set(labels)]
    .map((label) => `${labels.filter((other) => other === label).length} × ${label}`)
    .join(', ');
}
