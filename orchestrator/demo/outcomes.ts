/** The two ends that a call has in this story. */
import { call, inWords, inputOf } from './cast.ts';
import type { Called, Person, Play, Scene } from './cast.ts';

export async function answered(
  scene: Scene,
  person: Person,
  play: Play,
  picture: string,
  options: readonly string[] = [],
): Promise<Called> {
  scene.story.doing(`${person} calls classify (accord call)`);
  const outcome = await call(scene, person, play, picture, ['--new', ...options]);
  scene.story.check(`${inputOf(play, picture).split('/').at(-1)}: ${inWords(outcome)}`, outcome.exitCode === 0, '');
  return outcome;
}

export async function refusedOverQuota(
  scene: Scene,
  person: Person,
  play: Play,
  picture: string,
  which: string,
  options: readonly string[] = [],
): Promise<void> {
  const outcome = await call(scene, person, play, picture, ['--new', ...options]);
  const refused = outcome.exitCode === 10 && outcome.result['refused'] === 'quota-exceeded';
  scene.story.check(`${which} is refused`, refused, outcome.answer);
}
