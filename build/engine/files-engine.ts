/**
 * Buildah and podman: engines without a daemon, which keep images in a folder. They are given one of our own, so that what
 * the user has is neither seen nor touched.
 *
 * Layers are not cached: `--layers` takes an `ENV` of another build argument for the same one (seen in buildah 1.28 and
 * podman 4.3), which would be another collaboration's policy. Without it, and with fixed times, the image is one layer
 * with the same digest each time.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, diskFailure } from '../disk.ts';
import { parseBuildahImage, parseDockerImage } from '../image/engine-image.ts';
import { followCommand, runCommand, streamCommand } from './command.ts';
import type { CommandOptions } from './command.ts';
import type { Engine, EngineOptions } from './engine.ts';

/** Each image of the store shares its layer with the others; beyond so many the oldest entries are cleared away. */
const KEPT_IMAGES = 16;

export const openBuildah = (options: EngineOptions): Promise<Engine> => openFilesEngine('buildah', options);
export const openPodman = (options: EngineOptions): Promise<Engine> => openFilesEngine('podman', options);

async function openFilesEngine(name: 'buildah' | 'podman', { env, storage, signal }: EngineOptions): Promise<Engine> {
  const version = (await runCommand([name, '--version'], { engine: name, env, signal })).trim().replace(/^\D+/, '');
  const { program, common } = await openStorage(name, join(storage, name), env, signal);
  const silent = { ...common, signal };
  const ids = async (during: AbortSignal | undefined): Promise<readonly string[]> =>
    (await runCommand([...program, 'images', '--quiet', '--no-trunc'], { ...silent, signal: during }))
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  return {
    name,
    version,
    async build({ context, buildArguments, onLine, signal: during }) {
      const folder = await mkdtemp(join(storage, 'build-'));
      try {
        const idFile = join(folder, 'id');
        const named = Object.keys(buildArguments).flatMap((key) => ['--build-arg', key]);
        const fixed = ['--layers=false', '--timestamp', '0', '--isolation', 'chroot', '--platform', 'linux/amd64'];
        await followCommand([...program, 'build', ...fixed, '--iidfile', idFile, ...named, context], {
          ...common,
          env: { ...common.env, ...buildArguments },
          signal: during,
          onLine,
        });
        const id = (await readFile(idFile, 'utf8')).trim();
        const others = (await ids(during)).filter((other) => other !== id);
        if (others.length >= KEPT_IMAGES) {
          // One that another process is reading just now stays: then this says no, and nothing depends on it.
          await runCommand([...program, 'rmi', ...others], { ...common, signal: during }).catch(() => {
            during?.throwIfAborted();
          });
        }
        return id;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    async inspect(id, during) {
      const text = await runCommand([...program, 'inspect', '--type', 'image', id], { ...common, signal: during });
      return name === 'buildah' ? parseBuildahImage(text) : parseDockerImage(text);
    },
    async save(id, take, during) {
      const options = { ...common, signal: during };
      if (name === 'podman') {
        return streamCommand([...program, 'save', '--quiet', '--format', 'docker-archive', id], take, options);
      }
      // Buildah opens the archive by its name, which a pipe of ours does not have.
      const folder = await mkdtemp(join(storage, 'save-'));
      try {
        const archive = join(folder, 'image.tar');
        await runCommand([...program, 'push', '--quiet', id, `docker-archive:${archive}`], options);
        await take(createReadStream(archive, { highWaterMark: 1024 * 1024 }));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

interface OpenStorage {
  /** The program with the options that name its store. */
  readonly program: readonly string[];
  readonly common: Omit<CommandOptions, 'signal'>;
}

/** With overlays where the file system and the user may, else with plain copies. */
async function openStorage(
  name: 'buildah' | 'podman',
  home: string,
  env: EngineOptions['env'],
  signal: AbortSignal | undefined,
): Promise<OpenStorage> {
  try {
    await makeFolder(join(home, 'tmp'), 0o700);
  } catch (error) {
    throw diskFailure(error, home, `making the store of ${name}`);
  }
  const common = { engine: name, env: { ...env, TMPDIR: join(home, 'tmp') } } as const;
  const at = (driver: string): readonly string[] => [
    name,
    '--root',
    join(home, driver, 'root'),
    '--runroot',
    join(home, driver, 'run'),
    '--storage-driver',
    driver,
  ];
  const works = async (driver: string): Promise<void> => {
    await runCommand([...at(driver), 'images', '--quiet'], { ...common, signal });
  };
  try {
    await works('overlay');
    return { program: at('overlay'), common };
  } catch {
    signal?.throwIfAborted();
  }
  await works('vfs');
  return { program: at('vfs'), common };
}
