/** What a host can do to a sentence in a policy, and cannot to an anchor: restart, run twice, go back to an old disk. */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tellLocked } from './anchors.ts';
import { refusedOverQuota } from './outcomes.ts';
import { call, connect, inWords, readLeft, start } from './cast.ts';
import type { Called, Play, Scene } from './cast.ts';
import { note } from './host-view.ts';

/** All that the orchestrator remembers; images and running enclaves are made again. */
const DISK = ['database', 'blobs', 'records'] as const;

const copyOf = ({ stage }: Scene, part: string): string => join(stage.folder, 'old-disk', part);

/** After Alice's first call, while nothing is written. */
export async function keepOldDisk(scene: Scene): Promise<void> {
  const { stage, story } = scene;
  for (const part of DISK) {
    await cp(join(stage.orchestratorFolder, part), copyOf(scene, part), { recursive: true });
  }
  story.fact('The host copies its disk, for later: Alice has 2 calls left.');
}

/** A restart, and a second copy beside the first: both run afterwards. */
export async function tellRestart(scene: Scene, play: Play, first: Called): Promise<void> {
  const { stage, story } = scene;
  story.chapter('The host restarts the enclave, and starts a second copy beside it: still 0 left');
  await tellLocked(scene);
  story.doing('the host restarts the enclave (accord stop, accord run)');
  await note(scene, play);
  await stage.must(['stop', play.id, '--orchestrator', stage.orchestratorUrl]);
  await start(scene, play);
  story.fact('It was restarted. It answers nobody before Alice and Bob have each connected once, which they do now.');
  const model = (await connect(scene, play)).fields('functions').fields('classify').fields('model');
  story.check(
    "Bob's model is in place again: it was contributed once",
    model.optionalText('sha256') !== undefined,
    `the enclave read back what it had sealed; model ${model.optionalText('sha256')?.slice(0, 32)}…`,
  );
  await stillNoneLeft(scene, play, 'after a restart');

  story.doing('the host starts a second copy of the image (accord run --copies 2)');
  await start(scene, play, 2);
  await connect(scene, play, 2);
  await stillNoneLeft(scene, play, 'at the second copy', 2);
  const again = await call(scene, 'alice', play, 'alice-1', ['--retry', first.callId, '--copy', '2']);
  story.check(
    'her first answer, had it been lost, is fetched again for free, also from the other copy',
    again.exitCode === 0 && again.answer === first.answer,
    `accord call --retry ${first.callId}: ${inWords(again)}`,
  );
}

export async function tellOldDisk(scene: Scene, play: Play): Promise<void> {
  const { stage, story } = scene;
  story.chapter('The host restores an old disk, of when Alice had 2 calls left: still 0 left');
  await note(scene, play);
  story.doing('the host stops everything, and puts its old disk back');
  await stage.stopOrchestrator();
  for (const part of DISK) {
    const path = join(stage.orchestratorFolder, part);
    await rm(path, { recursive: true });
    await cp(copyOf(scene, part), path, { recursive: true });
  }
  await stage.startOrchestrator();
  await start(scene, play);
  await connect(scene, play);
  await stillNoneLeft(scene, play, 'with the old disk');
  await refusedOverQuota(scene, 'bob', play, 'bob-1', "Bob's third call");
}

async function stillNoneLeft(scene: Scene, play: Play, when: string, copy = 1): Promise<void> {
  const { left, shown } = await readLeft(scene, 'alice', play);
  scene.story.check(`Alice reads the anchors herself, ${when}: 0 left`, left === 0, shown);
  await refusedOverQuota(scene, 'alice', play, 'alice-1', `her fourth call ${when}`, ['--copy', String(copy)]);
}
