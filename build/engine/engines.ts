/** Every engine there is. */
import { openDocker } from './docker.ts';
import type { EngineName, OpenEngine } from './engine.ts';
import { openBuildah, openPodman } from './files-engine.ts';

export const ENGINES: Readonly<Record<EngineName, OpenEngine>> = {
  docker: openDocker,
  buildah: openBuildah,
  podman: openPodman,
};
