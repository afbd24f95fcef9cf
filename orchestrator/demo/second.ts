/** The last chapters but one: another agreement, which is another image, and an image with one byte changed. */
import { createReadStream } from 'node:fs';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex } from '../../enclave/encoding/hex.ts';
import { crc32 } from '../../build/eif/crc32.ts';
import { CRC_OFFSET } from '../../build/eif/format.ts';
import { partyContext, startSession } from '../../parties/cli/party.ts';
import type { Measurements } from '../hosts/host.ts';
import { produce, DENIED } from './agreement.ts';
import { headerOf, imageAttempt } from './attacks.ts';
import type { Attempt } from './attacks.ts';
import { answered, refusedOverQuota } from './outcomes.ts';
import { applyKeyPolicy, call, contribute, exampleFolder, fieldsOf, homeOf, inputOf, inWords, makeHome, measurementsOf, start } from './cast.ts'; // prettier-ignore
import type { Person, Play, Scene } from './cast.ts';
import { note } from './host-view.ts';
import { policyOf } from './release.ts';

/** `weights` is Bob's encrypted file, from the first collaboration. */
export async function tellCharlie(scene: Scene, first: Play, name: string, weights: string): Promise<Play> {
  const { story } = scene;
  story.chapter('Charlie: another agreement is another image, to which no key of Bob opens');
  const began = performance.now();
  const example = exampleFolder(name);
  const play = await produce(scene, example, await policyOf(scene, example));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  story.check(
    'Alice and Charlie agree on a policy of their own; its image has other measurements',
    play.measurements.PCR0 !== first.measurements.PCR0 && play.measurements.PCR1 === first.measurements.PCR1,
    `PCR0 ${play.measurements.PCR0.slice(0, 32)}…; built on the same base, started and rebuilt in ${seconds} s`,
  );
  const consent = async (person: Person, options?: string[]): Promise<void> => {
    await applyKeyPolicy(scene, person, play, options);
    await makeHome(scene, person, play);
  };
  await Promise.all([consent('alice', ['--add']), consent('charlie')]);

  const offered = await offerBobs(scene, play, weights);
  story.check(
    "Charlie's enclave is offered Bob's ciphertext, and refuses it",
    offered === 'contribution-mismatch',
    offered,
  );
  const denied = await openAs(scene, 'bob', weights, play.measurements);
  story.check(
    "Bob's KMS refuses Charlie's enclave, even with the credentials of Bob's own enclave role",
    denied.outcome === DENIED,
    denied.outcome,
  );
  const opened = await openAs(scene, 'bob', weights, first.measurements);
  story.check(
    'the same request by the image that Bob agreed to is granted',
    opened.outcome === 'opened',
    opened.outcome,
  );

  await contribute(scene, 'charlie', play);
  story.fact("Charlie contributes a model of his own. Alice's two calls, Charlie's four:");
  for (const picture of ['alice-1', 'alice-2']) await answered(scene, 'alice', play, picture);
  for (const picture of ['charlie-1', 'charlie-2', 'charlie-3', 'charlie-4']) {
    await answered(scene, 'charlie', play, picture);
  }
  await refusedOverQuota(scene, 'alice', play, 'alice-1', "Alice's third call here");
  await refusedOverQuota(scene, 'charlie', play, 'charlie-1', "Charlie's fifth");
  await tellWithoutAnchors(scene, play);
  return play;
}

/** This agreement has no anchors: what the first one was proof against works here, as everybody could read beforehand. */
async function tellWithoutAnchors(scene: Scene, play: Play): Promise<void> {
  const { stage, story } = scene;
  story.doing('the host restarts this enclave too');
  const checked = fieldsOf(await stage.must(['check', ...play.policy]));
  const warned = checked.list('weakenings').find((one) => one.text('code') === 'no-anchors');
  await note(scene, play);
  await stage.must(['stop', play.id, '--orchestrator', stage.orchestratorUrl]);
  await start(scene, play);
  await contribute(scene, 'charlie', play);
  const again = await call(scene, 'alice', play, 'alice-1', ['--new']);
  story.check(
    'without anchors the trick works: the host restarts the enclave, and Alice has her calls again',
    again.exitCode === 0,
    `her third answer: ${inWords(again)}; Charlie had to contribute his model again, too`,
  );
  story.check('accord check had said so', warned !== undefined, warned?.text('text') ?? '');
}

/** The host swaps the stored file, and Charlie himself helps it: his session names Bob's ciphertext. */
async function offerBobs(scene: Scene, play: Play, weights: string): Promise<string> {
  const { stage, io } = scene;
  const party = { ...io, env: stage.awsEnvironment };
  const context = await partyContext({ home: homeOf(scene, 'charlie', play) }, party);
  const { size } = await stat(weights);
  const upload = { content: createReadStream(weights), bytes: size };
  const stored = await context.coordinator.contribute(play.id, 'classify', upload, io.signal);
  const session = await startSession(context, party, { update: () => {}, end: () => {} });
  try {
    const answer = await session.contribute('classify', fromHex(stored.sha256), stored.bytes);
    return answer.t === 'refused' ? answer.refused : 'taken';
  } finally {
    await session.close();
  }
}

async function openAs(
  { stage, io }: Scene,
  profile: Person,
  file: string,
  measurements: Measurements,
): Promise<Attempt> {
  const { awsFolder, awsEnvironment: env } = stage;
  return imageAttempt({ header: await headerOf(file), profile, measurements, awsFolder, env, signal: io.signal });
}

export async function tellTampering(scene: Scene, play: Play, weights: string): Promise<void> {
  const { stage, story } = scene;
  story.chapter('One byte of the image changed: no key opens');
  const image = join(stage.orchestratorFolder, 'images', play.id, 'image.eif');
  story.doing("the host turns Alice's 3 calls into 9, mends the checksum, and starts it");
  await stage.must(['stop', play.id, '--orchestrator', stage.orchestratorUrl]);
  if (stage.target === 'nitro') await tellBrokenImage(scene, play, image);
  await changeOneByte(image, '"alice":3', '"alice":9', { mend: true });
  const measured = measurementsOf(await stage.must(['measure', image]));
  await start(scene, play);
  story.check(
    'the host changed one digit of the policy inside the image, and it runs; its PCR0 is another',
    measured.PCR0 !== play.measurements.PCR0,
    `PCR0 ${measured.PCR0.slice(0, 32)}… instead of ${play.measurements.PCR0.slice(0, 32)}…`,
  );
  const attested = await stage.run(['attest', '--home', homeOf(scene, 'alice', play)]);
  story.check("Alice's verification says no", attested.exitCode === 10, String(attested.result['code']));
  const called = await call(scene, 'alice', play, 'alice-1', ['--new']);
  story.check('her call stops before anything is sent', called.exitCode === 10, errorOf(called.result));
  const picture = join(stage.folder, 'alice', 'picture.enc');
  const purpose = ['--purpose', 'input', '--function', 'classify', '--home', homeOf(scene, 'alice', play)];
  await stage.must(['encrypt', inputOf(play, 'alice-1'), '-o', picture, ...purpose]);
  for (const [person, file] of [
    ['alice', picture],
    ['bob', weights],
  ] as const) {
    // prettier-ignore
    const { outcome } = await openAs(scene, person, file, measured);
    story.check(`${person}'s KMS refuses the changed image`, outcome === DENIED, outcome);
  }
}

function errorOf(result: Readonly<Record<string, unknown>>): string {
  return fieldsOf(result).fields('error').text('code');
}

/** What every boot reads first: the checksum over the whole file. */
async function tellBrokenImage({ stage, story }: Scene, play: Play, image: string): Promise<void> {
  await changeOneByte(image, '"alice":3', '"alice":9', { mend: false });
  const started = await stage.run(['run', ...play.policy, '--orchestrator', stage.orchestratorUrl]);
  story.check(
    'with one byte changed and nothing mended, the machine does not even boot',
    started.exitCode !== 0 && /checksum|CRC/i.test(started.stderr + JSON.stringify(started.result)),
    fieldsOf(started.result).fields('error').text('message'),
  );
  await changeOneByte(image, '"alice":9', '"alice":3', { mend: true });
}

/** Replaces the last `from` by `to` of the same length, and the file by the result; `mend` makes its checksum right again. */
async function changeOneByte(
  path: string,
  from: string,
  to: string,
  { mend }: { readonly mend: boolean },
): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.lastIndexOf(from);
  if (at < 0 || from.length !== to.length) throw new RangeError(`${path} has no ${from}`);
  bytes.write(to, at, 'latin1');
  if (mend) {
    bytes.writeUInt32BE(crc32(bytes.subarray(CRC_OFFSET + 4), crc32(bytes.subarray(0, CRC_OFFSET))), CRC_OFFSET);
  }
  // Beside and renamed: the file may share its blocks with the cache.
  await writeFile(`${path}.changed`, bytes);
  await rename(`${path}.changed`, path);
}
