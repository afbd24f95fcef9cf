/** How each target is built again, and what such a rebuild takes as it is. */
import { buildLocalImage } from './pipeline.ts';
import type { LocalBuilderOptions } from './pipeline.ts';
import type { OnProgress } from './image-builder.ts';
import type { Rebuild } from './reproduce.ts';

export interface RebuildOptions {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

const INSTALLATION =
  'the sources and tools of this installation of Accord; `npm ci` checked the packages in node_modules against package-lock.json';

export function rebuildLocal({ onProgress, signal }: RebuildOptions, base?: LocalBuilderOptions['base']): Rebuild {
  return async (policy, outDir) => {
    const common = { policy, outDir, cacheDir: false, onProgress, signal } as const;
    const { eifPath, measurements } = await buildLocalImage(base === undefined ? common : { ...common, base });
    const { node, hostLibraries } = measurements.inputs;
    return {
      eifPath,
      measurements,
      takenAsIs: [
        INSTALLATION,
        `the program of Node ${node.version} for ${node.platform} that runs this, which the image carries`,
        `the libraries of whoever runs the image, which it does not carry: ${hostLibraries.join(', ')}`,
      ],
    };
  };
}
