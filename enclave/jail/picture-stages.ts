/** Pictures: one jail decodes them, one computes with onnxruntime; the gate writes labels and boxes from what they say. */
import type { PicturePolicy } from '../../policies/model.ts';
import { totalBytes } from '../encoding/bytes.ts';
import type { Candidate } from '../functions/candidate.ts';
import { rebuildLabels } from '../functions/image-classification/answer.ts';
import { channelsOf, type PictureManifest } from '../functions/model-manifest.ts';
import { rebuildObjects } from '../functions/object-detection/answer.ts';
import { MEDIA_TYPES, type Picture } from '../functions/picture.ts';
import { validatePicture } from '../functions/validate-picture.ts';
import { candidateBytes, decodeCandidates } from './candidates.ts';
import { FRAME, PICTURE_HEADER_BYTES, UNREADABLE_BYTES } from './frames.ts';
import { place, toPicture } from './geometry.ts';
import { jailFailure } from './jail-failure.ts';
import { KEEPS_FREED_MEMORY } from './prefault.ts';
import type { Jail } from './process.ts';
import {
  brokeProtocol,
  computerOf,
  prefaulting,
  readerOf,
  type FunctionAnswer,
  type StageOptions,
  type Stages,
} from './stages.ts';
import { explainUnreadable } from './unreadable.ts';

export interface PictureOptions extends StageOptions {
  readonly manifest: PictureManifest;
  readonly policy: PicturePolicy;
}

export function pictureStages(options: PictureOptions): Stages {
  const { paths, manifest, policy } = options;
  const { width, height, resize, colour } = manifest.input;
  const plan = { width, height, resize, channels: channelsOf(colour), maxBytes: policy.input.maxBytes };
  const setup = { manifest, topK: policy.output.topK };
  return {
    reader: prefaulting(readerOf(options, paths.decode, KEEPS_FREED_MEMORY, plan), options),
    // Without this, onnxruntime opens sockets and writes a database; with nothing else, there is nothing to learn.
    computer: computerOf(options, paths.compute, { ORT_DISABLE_TELEMETRY: '1' }, setup),
    async run(input, useReader, useComputer) {
      const { picture, pixels } = await useReader((jail) => decodeIn(jail, input, manifest));
      try {
        const fault = validatePicture(picture);
        if (fault !== undefined) throw jailFailure('jail/input-invalid', `the picture is not taken: ${fault}`);
        return answer(await useComputer((jail) => computeIn(jail, pixels, options)), picture, options);
      } finally {
        pixels.fill(0);
      }
    },
  };
}

interface DecodedPicture {
  readonly picture: Picture;
  readonly pixels: Uint8Array;
}

async function decodeIn(
  jail: Jail,
  input: readonly Uint8Array[],
  { input: wanted }: PictureManifest,
): Promise<DecodedPicture> {
  const bytes = PICTURE_HEADER_BYTES + wanted.width * wanted.height * channelsOf(wanted.colour);
  const reply = await jail.ask(FRAME.input, input, { [FRAME.pixels]: bytes, [FRAME.unreadable]: UNREADABLE_BYTES });
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  if (reply.type === FRAME.unreadable && reply.body.length === UNREADABLE_BYTES) {
    const why = explainUnreadable(view.getUint8(0), view.getUint32(1), view.getUint32(5));
    if (why !== undefined) throw jailFailure('jail/input-invalid', why);
  }
  const mediaType = reply.body.length === bytes ? MEDIA_TYPES[view.getUint8(8)] : undefined;
  if (mediaType === undefined) {
    reply.body.fill(0);
    return brokeProtocol(jail);
  }
  const picture = { mediaType, bytes: totalBytes(input), width: view.getUint32(0), height: view.getUint32(4) };
  return { picture, pixels: reply.body.subarray(PICTURE_HEADER_BYTES) };
}

async function computeIn(
  jail: Jail,
  pixels: Uint8Array,
  { manifest, policy }: PictureOptions,
): Promise<readonly Candidate[]> {
  const boxes = manifest.output.kind !== 'classification';
  const most = policy.output.topK * candidateBytes(boxes);
  const reply = await jail.ask(FRAME.pixels, [pixels], { [FRAME.candidates]: most, [FRAME.invalid]: 0 });
  if (reply.type === FRAME.invalid) {
    throw jailFailure('jail/output-invalid', "the model's output for this input is no answer of the function");
  }
  return decodeCandidates(reply.body, boxes) ?? brokeProtocol(jail);
}

/** Writes the answer from indexes and numbers. */
function answer(found: readonly Candidate[], picture: Picture, { manifest, policy }: PictureOptions): FunctionAnswer {
  const { labels, input } = manifest;
  const back = place(input, picture.width, picture.height);
  const output =
    policy.uses === 'image-classification'
      ? rebuildLabels(found, labels, policy.output)
      : rebuildObjects(found, labels, policy.output, (x, y) => toPicture(input, back, x, y));
  if (output === undefined) {
    throw jailFailure('jail/output-invalid', "the model's output for this input is no answer of the function");
  }
  return output;
}
