/** The middle: weights go in, answers come out, quotas end. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '../../enclave/crypto/digest.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { packModel } from '../../enclave/functions/model-package.ts';
import { call, callsLeft, contribute, fieldsOf, homeOf, inWords } from './cast.ts';
import type { Called, Play, Scene } from './cast.ts';
import { keepOldDisk } from './host-tricks.ts';
import { answered, refusedOverQuota } from './outcomes.ts';

export async function tellContribution(scene: Scene, play: Play): Promise<void> {
  const { stage, story } = scene;
  story.chapter("Bob's weights: contributed to the enclave alone");
  story.doing('Bob encrypts, hands over, and names them in his own session (accord contribute)');
  const given = await contribute(scene, 'bob', play);
  const status = await stage.must(['quota', '--home', homeOf(scene, 'alice', play)]);
  const opened = fieldsOf(status).fields('functions').fields('classify').fields('model').text('sha256');
  story.check(
    "the enclave opened Bob's weights, and they are his: to Alice it names the digest of his very files",
    opened === (await modelDigest(play)),
    `SHA-256 of the model ${opened}; the host stores ${Number(given['envelopeBytes'])} bytes of ciphertext`,
  );
}

/** Of the model's files as they lie with its owner. */
async function modelDigest({ example }: Play): Promise<string> {
  const manifest = await readFile(join(example, 'manifest.json'), 'utf8');
  const packed = packModel(manifest, await readFile(join(example, 'model.onnx')));
  return toHex(await sha256(packed));
}

/** Gives her first call, which can be asked for again as often as she likes. */
export async function tellAlice(scene: Scene, play: Play): Promise<Called> {
  const { stage, story } = scene;
  story.chapter('Alice: verifies, calls three times, is refused the fourth');
  const report = await stage.must(['attest', '--home', homeOf(scene, 'alice', play)]);
  const attested = fieldsOf(report).fields('pcrs').text('0');
  story.check(
    'the running enclave proves that it is the image she built',
    report['valid'] === true && attested === play.measurements.PCR0,
    `module ${fieldsOf(report).text('moduleId')}, PCR0 ${attested.slice(0, 32)}…, local root`,
  );
  const first = await answered(scene, 'alice', play, 'alice-1');
  await keepOldDisk(scene);
  await answered(scene, 'alice', play, 'alice-2');
  await answered(scene, 'alice', play, 'alice-3');
  const again = await call(scene, 'alice', play, 'alice-1', ['--retry', first.callId]);
  story.check(
    'asking again for the first call gives the same answer, for free',
    again.exitCode === 0 && again.answer === first.answer && (await callsLeft(scene, 'alice', play)) === 0,
    `accord call --retry ${first.callId}: ${inWords(again)}`,
  );
  await refusedOverQuota(scene, 'alice', play, 'alice-1', 'her fourth call');
  return first;
}

/** Two copies of the enclave run: one call at each. */
export async function tellBob(scene: Scene, play: Play): Promise<void> {
  scene.story.chapter('Bob: two calls of his own, one at each copy');
  await answered(scene, 'bob', play, 'bob-1', ['--copy', '1']);
  await answered(scene, 'bob', play, 'bob-2', ['--copy', '2']);
  await refusedOverQuota(scene, 'bob', play, 'bob-1', 'his third call', ['--copy', '1']);
}
