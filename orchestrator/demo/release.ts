/** When answers leave in this story: as the examples say, where the machine computes at its usual speed. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import type { Scene } from './cast.ts';
import type { DemoCode } from './story.ts';

/** Where every instruction is emulated, an answer is given so many times as long. */
const EMULATED = 10;
const AFTER_MS = /^( +afterMs: )(\d+)$/gm;

/** The files of an example's policy; `parts` are composed in. */
export async function policyOf(scene: Scene, example: string, ...parts: readonly string[]): Promise<readonly string[]> {
  const { target, folder } = scene.stage;
  const others = parts.map((file) => join(example, file));
  const written = join(example, 'policy.yaml');
  if (target === 'local') return [written, ...others];
  const slow = join(folder, 'policies', `${basename(example)}.yaml`);
  await mkdir(join(folder, 'policies'), { recursive: true });
  const text = await readFile(written, 'utf8');
  await writeFile(
    slow,
    text.replaceAll(AFTER_MS, (_, name: string, ms: string) => `${name}${EMULATED * Number(ms)}`),
  );
  return [slow, ...others];
}

/** Milliseconds from request to answer, as the files of a policy say. */
export async function afterMsOf(files: readonly string[]): Promise<number> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  const found = [...texts.join('\n').matchAll(AFTER_MS)].map(([, , ms]) => Number(ms));
  const [first] = found;
  if (first !== undefined && found.every((ms) => ms === first)) return first;
  throw new Failure<DemoCode>('environment', 'demo/not-started', 'the examples do not agree on one release time');
}
