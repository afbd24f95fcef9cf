/**
 * Buildah and podman: engines without a daemon, which keep images in a folder. They get one of our own that is removed with
 * the engine, so what the user has is neither seen nor touched, and an interrupted build leaves nothing behind. Plain copies
 * (`vfs`) rather than overlays: they need no mounts, which would outlive the program and keep the folder busy, and the
 * image is one layer anyway.
 *
 * Layers are not cached: `--layers` takes an `ENV` of another build argument for the same one (seen in buildah 1.28 and
 * podman 4.3), which would be another collaboration's policy. Without it, and with fixed times, the image is one layer
 * with the same digest each time.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFailure, makeFolder } from '../disk.ts';
import { removeStale } from '../stale.ts';
import { parseBuildahImage, parseDockerImage } from '../image/engine-image.ts';
import { followCommand, runCommand, streamCommand } from './command.ts';
import type { CommandOptions } from './command.ts';
import type { Engine, EngineOptions } from './engine.ts';

type Name = 'buildah' | 'podman';

/** Podman refuses a path of more than 50 characters for what it notes while it runs, and caches have longer ones. */
const RUN_FOLDERS = '/tmp';
const FIXED = ['--layers=false', '--timestamp', '0', '--isolation', 'chroot', '--platform', 'linux/amd64'] as const;
const PIECE_BYTES = 1024 * 1024;

export const openBuildah = (options: EngineOptions): Promise<Engine> => openFilesEngine('buildah', options);
export const openPodman = (options: EngineOptions): Promise<Engine> => openFilesEngine('podman', options);

async function openFilesEngine(name: Name, { env, storage, signal }: EngineOptions): Promise<Engine> {
  const version = (await runCommand([name, '--version'], { engine: name, env, signal }))
    .replace(/^\D+/, '')
    .split(/\s/)[0];
  const store = await openStore(name, storage, env);
  try {
    // Whether this user may do it at all is told before anything is made.
    await runCommand([...store.program, 'images', '--quiet'], { ...store.common, signal });
  } catch (error) {
    await store.close();
    throw error;
  }
  const { program, common, home } = store;
  return {
    name,
    version: version ?? '',
    async build({ context, buildArguments, onLine, signal: during }) {
      const idFile = join(await mkdtemp(join(home, 'id-')), 'id');
      const named = Object.keys(buildArguments).flatMap((key) => ['--build-arg', key]);
      await followCommand([...program, 'build', ...FIXED, '--iidfile', idFile, ...named, context], {
        ...common,
        env: { ...common.env, ...buildArguments },
        signal: during,
        onLine,
      });
      return (await readFile(idFile, 'utf8')).trim();
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
      const archive = join(await mkdtemp(join(home, 'save-')), 'image.tar');
      try {
        await runCommand([...program, 'push', '--quiet', id, `docker-archive:${archive}`], options);
        await take(createReadStream(archive, { highWaterMark: PIECE_BYTES }));
      } finally {
        await rm(archive, { force: true });
      }
    },
    close: store.close,
  };
}

interface Store {
  /** The program with the options that name its store. */
  readonly program: readonly string[];
  readonly common: Omit<CommandOptions, 'signal'>;
  readonly home: string;
  readonly close: () => Promise<void>;
}

async function openStore(name: Name, storage: string, env: EngineOptions['env']): Promise<Store> {
  const folders: string[] = [];
  const fresh = async (prefix: string): Promise<string> => {
    const folder = await mkdtemp(prefix);
    folders.push(folder);
    return folder;
  };
  const close = async (): Promise<void> => {
    for (const folder of folders) {
      await rm(folder, { recursive: true, force: true }).catch(async () => {
        // Files of another base belong to users of the engine's own namespace.
        await runCommand([name, 'unshare', 'rm', '-rf', folder], { engine: name, env, signal: undefined }).catch(
          () => {},
        );
      });
    }
  };
  try {
    await makeFolder(storage, 0o700);
    await removeStale(storage, ['buildah-', 'podman-']);
    const home = await fresh(join(storage, `${name}-`));
    const running = await fresh(join(RUN_FOLDERS, 'accord-'));
    await makeFolder(join(home, 'tmp'), 0o700);
    return {
      program: [name, '--root', join(home, 'images'), '--runroot', running, '--storage-driver', 'vfs'],
      common: { engine: name, env: { ...env, TMPDIR: join(home, 'tmp') } },
      home,
      close,
    };
  } catch (error) {
    await close();
    throw diskFailure(error, storage, `making a store for ${name}`);
  }
}
