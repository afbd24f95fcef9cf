/** The order of the story. */
import type { Io } from '../../parties/cli/verb.ts';
import { tellImage, tellKeys, tellPolicy } from './agreement.ts';
import { tellAlice, tellBob, tellContribution } from './calls.ts';
import { tellAnchors } from './anchors.ts';
import { exampleFolder } from './cast.ts';
import { policyOf } from './release.ts';
import type { Scene } from './cast.ts';
import { tellConfinement } from './confinement.ts';
import { tellDetection } from './detection.ts';
import type { Detection } from './detection.ts';
import { note, tellHost } from './host-view.ts';
import { tellOldDisk, tellRestart } from './host-tricks.ts';
import { tellDeath } from './death.ts';
import { tellCharlie, tellTampering } from './second.ts';
import { setStage } from './stage.ts';
import type { DemoHost } from './stage.ts';
import type { Story } from './story.ts';

const WITH_BOB = 'skin-lesion-screening';
const WITH_CHARLIE = 'skin-lesion-screening-charlie';

export interface Telling {
  /** The compiled command line. */
  readonly bin: string;
  /** Where the enclaves run. In a virtual machine there is more to tell. */
  readonly host: DemoHost;
  /** A picture, and what finds things in it. */
  readonly detection: Detection;
}

/** Throws at the first claim that does not hold; leaves nothing running. */
export async function tell({ bin, host, detection }: Telling, story: Story, io: Io): Promise<void> {
  story.opening('starting AWS in miniature and the orchestrator');
  const stage = await setStage(bin, host, io.env, io.signal);
  const scene: Scene = { stage, story, io, seen: [], made: [] };
  const example = exampleFolder(WITH_BOB);
  try {
    const policy = await policyOf(scene, example, 'anchors.yaml');
    await tellPolicy(scene, policy);
    const first = await tellImage(scene, example, policy);
    const weights = await tellKeys(scene, first);
    await tellAnchors(scene, first);
    await tellContribution(scene, first);
    await tellConfinement(scene, first);
    const call = await tellAlice(scene, first);
    await tellRestart(scene, first, call);
    await tellBob(scene, first);
    await tellOldDisk(scene, first);
    const second = await tellCharlie(scene, first, WITH_CHARLIE, weights);
    for (const play of [first, second]) await note(scene, play);
    if (host === 'qemu') {
      await stage.must(['stop', second.id, '--orchestrator', stage.orchestratorUrl]);
      await tellDeath(scene, first, call);
      await tellDetection(scene, detection);
    }
    await tellTampering(scene, first, weights);
    await tellHost(scene, [
      { play: first, pictures: ['alice-1', 'alice-2', 'alice-3', 'bob-1', 'bob-2'] },
      { play: second, pictures: ['alice-1', 'alice-2', 'charlie-1', 'charlie-2', 'charlie-3', 'charlie-4'] },
    ]);
  } finally {
    await stage.close();
  }
}
