/**
 * The container engine that makes the image out of `build/Dockerfile`: docker, buildah or podman behind one interface. What
 * it made is read back as an archive of layers and as the image's configuration, without a registry; neither is believed
 * before it was compared with what was asked (see `build/image/`).
 */
import type { Readable } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { EngineImage } from '../image/engine-image.ts';

export const ENGINE_NAMES = ['docker', 'buildah', 'podman'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

export type EngineCode =
  | 'engine/absent' // no program of that name
  | 'engine/denied' // it is there, and this user may not use it
  | 'engine/not-running' // a client whose daemon does not answer
  | 'engine/base' // the registry's image that was asked for cannot be had
  | 'engine/failed';

export interface EngineBuild {
  /** Folder with the Dockerfile and everything that it copies. */
  readonly context: string;
  /** Name → value. Handed over in the environment, where other users of the machine cannot read them. */
  readonly buildArguments: Readonly<Record<string, string>>;
  /** What the image is called in a store that the user sees. */
  readonly tag: string;
  /** Lines that the engine prints. */
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

export interface Engine {
  readonly name: EngineName;
  /** As the engine tells it. */
  readonly version: string;
  /** Builds, and resolves to the image's id. An abort ends the engine's work too, and rejects with the signal's reason. */
  build(build: EngineBuild): Promise<string>;
  /** The configuration of an image that this engine has. */
  inspect(id: string, signal?: AbortSignal): Promise<EngineImage>;
  /** A docker archive of the image, as it streams by; `take` must read it to its end. */
  save(id: string, take: (archive: Readable) => Promise<void>, signal?: AbortSignal): Promise<void>;
  /** Removes what it keeps for us. */
  close(): Promise<void>;
}

export interface EngineOptions {
  /** Where to look for programs, sockets and the user's settings. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where engines that keep images in files put theirs: the user's are never touched. */
  readonly storage: string;
  readonly signal?: AbortSignal;
}

/** Opens one kind of engine, or says why it cannot be used. */
export type OpenEngine = (options: EngineOptions) => Promise<Engine>;

/**
 * The engine that was named, or the first that works. Throws `Failure<EngineCode>` of kind `environment`: for a named
 * engine its own reason, otherwise `engine/absent` with the reason of each that is there.
 */
export async function findEngine(
  openers: Readonly<Record<EngineName, OpenEngine>>,
  name: EngineName | undefined,
  options: EngineOptions,
): Promise<Engine> {
  if (name !== undefined) return openers[name](options);
  const reasons: Failure[] = [];
  for (const candidate of ENGINE_NAMES) {
    try {
      return await openers[candidate](options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      reasons.push(error);
    }
  }
  const there = reasons.filter(({ code }) => code !== 'engine/absent');
  const first = there[0];
  if (first !== undefined && there.length === 1) throw first;
  const found =
    there.length === 0
      ? 'none of docker, buildah and podman is installed'
      : `none of the installed engines can be used: ${there.map(({ message }) => message).join('; ')}`;
  throw new Failure<EngineCode>('environment', 'engine/absent', `the image needs a container engine, and ${found}`, {
    where: '--engine',
    hint:
      first?.hint ??
      'install one (Debian: apt-get install buildah; Amazon Linux: dnf install docker); `npm run setup:engines` does it in a checkout on Debian',
  });
}
