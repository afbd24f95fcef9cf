/** What is trained, from which seeds, and whose pictures go where. */
import { SIDE, trainClassifier, type Recipe } from './classifier.ts';
import { DETECTOR_SIDE, trainDetector } from './detector.ts';
import { classifierAccuracy, detectorAgreement, nameOf, openModel, readGrid } from './held-out.ts';
import { lesion, LESION_FRAME, type LesionLabel } from './lesions.ts';
import { CLASSIFIER_TENSORS, classifierManifest, DETECTOR_TENSORS, detectorManifest } from './manifests.ts';
import { writeOnnx } from './onnx.ts';
import { photograph } from './photograph.ts';
import { seeded } from './random.ts';
import { scene, SCENE_FRAME } from './scenes.ts';

export interface Example {
  /** The folder under `policies/examples`. */
  readonly folder: string;
  readonly manifest: object;
  readonly train: (progress: (text: string) => void) => Uint8Array;
  /** From 0 to 1, on this many pictures kept from training. */
  readonly measure: (onnx: Uint8Array, pictures: number) => Promise<number>;
  /** The parties' pictures by file name: new ones, which the model reads rightly. */
  readonly inputs: (onnx: Uint8Array) => Promise<ReadonlyMap<string, Uint8Array>>;
}

/** What must be reached. */
export const DEMANDED = 0.95;
/** Apart from all seeds of training. */
const HELD_OUT_SEED = 20_270_630;

const CLASSIFIER: Omit<Recipe, 'seed'> = { pictures: 1400, epochs: 7 };
const DETECTOR: Recipe = { seed: 303, pictures: 1600, epochs: 10 };

export const EXAMPLES: readonly Example[] = [
  // The longest first: the others share the other core.
  {
    folder: 'object-detection',
    manifest: detectorManifest("Bob's detector of things in a synthetic sky"),
    train: (progress) => writeOnnx(trainDetector(DETECTOR, progress), 'detector', DETECTOR_TENSORS),
    measure: (onnx, pictures) => detectorAgreement(onnx, pictures, HELD_OUT_SEED),
    inputs: drawSkies,
  },
  classifier('skin-lesion-screening', "Bob's classifier of synthetic lesions", 101, 11, {
    'alice-1': 'melanoma',
    'alice-2': 'melanocytic nevus',
    'alice-3': 'basal cell carcinoma',
    'bob-1': 'vascular lesion',
    'bob-2': 'dermatofibroma',
  }),
  classifier('skin-lesion-screening-charlie', "Charlie's classifier of synthetic lesions", 202, 22, {
    'alice-1': 'benign keratosis',
    'alice-2': 'melanoma',
    'charlie-1': 'actinic keratosis',
    'charlie-2': 'melanocytic nevus',
    'charlie-3': 'dermatofibroma',
    'charlie-4': 'vascular lesion',
  }),
];

function classifier(
  folder: string,
  name: string,
  seed: number,
  inputSeed: number,
  inputs: Readonly<Record<string, LesionLabel>>,
): Example {
  return {
    folder,
    manifest: classifierManifest(name),
    train: (progress) =>
      writeOnnx(trainClassifier({ ...CLASSIFIER, seed }, progress), 'classifier', CLASSIFIER_TENSORS),
    measure: (onnx, pictures) => classifierAccuracy(onnx, pictures, HELD_OUT_SEED + seed),
    async inputs(onnx) {
      const model = await openModel(onnx, SIDE, CLASSIFIER_TENSORS);
      const random = seeded(inputSeed);
      const pictures = new Map<string, Uint8Array>();
      for (const [file, label] of Object.entries(inputs)) {
        const jpeg = await firstThat(
          () => photograph(lesion(label, random), LESION_FRAME),
          async (picture) => nameOf(await model(picture)) === label,
        );
        pictures.set(`${file}.jpg`, jpeg);
      }
      return pictures;
    },
  };
}

/** With three things and more, so that there is something to see. */
async function drawSkies(onnx: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  const model = await openModel(onnx, DETECTOR_SIDE, DETECTOR_TENSORS);
  const random = seeded(33);
  const pictures = new Map<string, Uint8Array>();
  for (const file of ['alice-1', 'alice-2', 'bob-1']) {
    let wanted = 0;
    const jpeg = await firstThat(
      () => {
        const drawn = scene(random);
        wanted = drawn.things.length;
        return photograph(drawn.shader, SCENE_FRAME);
      },
      async (picture) => wanted >= 3 && readGrid(await model(picture)).length === wanted,
    );
    pictures.set(`${file}.jpg`, jpeg);
  }
  return pictures;
}

async function firstThat<T>(draw: () => Promise<T>, fits: (value: T) => Promise<boolean>): Promise<T> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const value = await draw();
    if (await fits(value)) return value;
  }
  throw new Error('the model reads none of fifty pictures rightly');
}
