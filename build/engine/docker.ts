/** Docker, by its command line: whichever daemon the user's settings name, with BuildKit or the builder before it. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDockerImage } from '../image/engine-image.ts';
import { followCommand, runCommand, streamCommand } from './command.ts';
import type { CommandOptions } from './command.ts';
import type { Engine, EngineOptions } from './engine.ts';

/** BuildKit only: no provenance beside the image, and the builder that leaves its result in the daemon. */
const SETTINGS = {
  BUILDX_NO_DEFAULT_ATTESTATIONS: '1',
  BUILDX_BUILDER: 'default',
  BUILDKIT_PROGRESS: 'plain',
} as const;

export async function openDocker({ env, signal }: EngineOptions): Promise<Engine> {
  const common: CommandOptions = { engine: 'docker', env: { ...env, ...SETTINGS }, signal };
  const version = (await runCommand(['docker', 'version', '--format', '{{.Server.Version}}'], common)).trim();
  return {
    name: 'docker',
    version,
    async build({ context, buildArguments, tag, onLine, signal: during }) {
      const folder = await mkdtemp(join(tmpdir(), 'accord-docker-'));
      try {
        const idFile = join(folder, 'id');
        const named = Object.keys(buildArguments).flatMap((name) => ['--build-arg', name]);
        await followCommand(
          ['docker', 'build', '--platform', 'linux/amd64', '--tag', tag, '--iidfile', idFile, ...named, context],
          { ...common, env: { ...common.env, ...buildArguments }, signal: during, onLine },
        );
        return (await readFile(idFile, 'utf8')).trim();
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    inspect: async (id, during) =>
      parseDockerImage(await runCommand(['docker', 'image', 'inspect', id], { ...common, signal: during })),
    save: (id, take, during) => streamCommand(['docker', 'image', 'save', id], take, { ...common, signal: during }),
    close: async () => {},
  };
}
