/**
 * The base ramdisk of an image for Nitro, by way of the container engine: it builds with the policy as build argument, its
 * layers are read back, compared with what was put in, and made into one ramdisk, which the cache keeps by their digests.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../policies/failure.ts';
import { openBase } from './cache.ts';
import type { OpenBase } from './cache.ts';
import { diskFailure } from './disk.ts';
import type { Engine } from './engine/engine.ts';
import type { Expected } from './engine/expected.ts';
import type { BuildOptions } from './image-builder.ts';
import { checkContent } from './image/check-content.ts';
import { planCpio } from './image/cpio.ts';
import { readDockerArchive } from './image/docker-archive.ts';
import { demandAsAsked } from './image/engine-image.ts';
import type { EngineImage } from './image/engine-image.ts';
import { flattenLayers, treeEntries } from './image/flatten.ts';
import { NITRO_COMMAND } from './image/nitro-image.ts';
import { POLICY_VARIABLE } from './image/ramdisk.ts';
import { BASE_SECTION, measureBoot } from './image/sections.ts';
import type { Boot } from './image/sections.ts';
import type { PreparedPolicy } from './write-image.ts';

export type EngineBaseCode = 'image/base-changed';

export interface EngineBaseOptions extends Pick<BuildOptions, 'onProgress' | 'signal'> {
  readonly engine: Engine;
  /** The folder that the engine builds in. */
  readonly context: string;
  /** For layers while they are read; the caller removes it. */
  readonly work: string;
  /** Undefined keeps no base ramdisk. */
  readonly cacheDir: string | undefined;
  readonly expected: Expected;
  readonly boot: Boot;
  /** About as many as the layers have, for the progress. */
  readonly bytes: number;
}

export interface EngineBase {
  /** Runs the engine for this policy. The base is opened once, and the same for all. */
  make(prepared: PreparedPolicy, build: BuildOptions): Promise<OpenBase>;
  /** Runs the engine only where the base is not open yet. */
  known(prepared: PreparedPolicy): Promise<OpenBase>;
  close(): Promise<void>;
}

interface EngineAnswer {
  readonly id: string;
  readonly image: EngineImage;
}

const TAG_CHARACTERS = 12;
const SHOWN_CHARACTERS = 100;

export function openEngineBase(options: EngineBaseOptions): EngineBase {
  const { engine, context, work, cacheDir, expected, boot } = options;
  let opening: Promise<OpenBase> | undefined;
  let baseKey: string | undefined;

  const runEngine = async (prepared: PreparedPolicy, build: BuildOptions): Promise<EngineAnswer> => {
    const { onProgress = options.onProgress, signal = options.signal } = build;
    const asked = { environment: { [POLICY_VARIABLE]: prepared.canonicalPolicy }, command: NITRO_COMMAND };
    const tell = (line: string): void => onProgress?.({ step: 'engine', text: `${engine.name}: ${shortened(line)}` });
    tell('building');
    const id = await engine.build({
      context,
      buildArguments: asked.environment,
      tag: `accord-enclave:${prepared.digest.slice(0, TAG_CHARACTERS)}`,
      onLine: (line) => {
        if (/^(\[\d\/\d\] )?step /i.test(line) || /^#\d+ \[/.test(line)) tell(line);
      },
      signal,
    });
    const image = await engine.inspect(id, signal);
    demandAsAsked(image, asked);
    return { id, image };
  };

  const openFrom = ({ id, image }: EngineAnswer, build: BuildOptions): Promise<OpenBase> => {
    const { onProgress = options.onProgress, signal = options.signal } = build;
    const texts = { verify: 'checking the base from the cache', make: 'making the base ramdisk' } as const;
    return openBase(
      {
        key: keyOf(image, expected),
        withPlan: async (use) => {
          const folder = await mkdtemp(join(work, 'layers-'));
          try {
            let done = 0;
            const read: { tree?: ReturnType<typeof flattenLayers> } = {};
            await engine.save(
              id,
              async (archive) => {
                const saved = await readDockerArchive(archive, folder, (bytes) => {
                  signal?.throwIfAborted();
                  done += bytes;
                  onProgress?.({
                    step: 'layers',
                    text: 'reading the layers back',
                    done,
                    total: Math.max(done, options.bytes),
                  });
                });
                demandSame(saved.image, image);
                read.tree = flattenLayers(saved.layers);
              },
              signal,
            );
            if (read.tree === undefined) throw new Error('an image was saved without being read');
            await checkContent(read.tree, expected);
            return await use(planCpio(treeEntries(read.tree)));
          } catch (error) {
            throw diskFailure(error, folder, 'reading the layers');
          } finally {
            await rm(folder, { recursive: true, force: true });
          }
        },
      },
      {
        cacheDir,
        measure: () => measureBoot(boot),
        section: BASE_SECTION,
        onProgress: (step, at, total) => onProgress?.({ step, text: texts[step], done: at, total }),
        ...(signal === undefined ? {} : { signal }),
      },
    );
  };

  /** The base that `answer` has. An engine that lost its cache may cut other layers; the content must be the same. */
  const baseOf = async (answer: EngineAnswer, build: BuildOptions): Promise<OpenBase> => {
    const key = keyOf(answer.image, expected);
    if (opening === undefined) {
      opening = openFrom(answer, build);
      baseKey = key;
      opening.catch(() => (opening = undefined)); // the next build tries again
    }
    const base = await opening;
    if (baseKey === key) return base;
    const again = await openFrom(answer, build);
    const isSame = again.crc32 === base.crc32 && fingerprint(again) === fingerprint(base);
    await again.close();
    if (!isSame) throw baseChanged();
    return base;
  };

  const make: EngineBase['make'] = async (prepared, build) => baseOf(await runEngine(prepared, build), build);
  return {
    make,
    known: async (prepared) => opening ?? make(prepared, {}),
    async close() {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}

/** Layers that were judged by what they should be: another expectation judges again. */
function keyOf({ diffIds }: EngineImage, { digest }: Expected): string {
  return createHash('sha256')
    .update(JSON.stringify(['accord/v1/eif-base', digest, ...diffIds]))
    .digest('hex');
}

const fingerprint = (base: OpenBase): string => base.measurement.fork().finish().PCR0;

const shortened = (line: string): string => line.replaceAll(/\s+/g, ' ').trim().slice(0, SHOWN_CHARACTERS);

/** What is saved is what was inspected: between the two the engine could have been asked for something else. */
function demandSame(saved: EngineImage, inspected: EngineImage): void {
  if (JSON.stringify(saved.diffIds) !== JSON.stringify(inspected.diffIds)) throw baseChanged();
}

function baseChanged(): Failure<EngineBaseCode> {
  return new Failure('environment', 'image/base-changed', 'the engine made other layers than a moment ago', {
    where: '--engine',
    hint: 'run the same command again; if that does not help, clear the cache of the engine',
  });
}
