/** How each target is built again, and what such a rebuild takes as it is. */
import { defaultCacheDir } from './cache.ts';
import { createEifBuilder } from './eif-builder.ts';
import type { EifBuilderOptions, EifInputs } from './eif-builder.ts';
import type { EngineName } from './engine/engine.ts';
import type { OnProgress } from './image-builder.ts';
import { buildLocalImage } from './local-builder.ts';
import type { LocalBuilderOptions } from './local-builder.ts';
import { openRebuildInputs } from './rebuild-inputs.ts';
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

export interface RebuildNitroOptions extends RebuildOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: the user's. Of it only downloads are read, and kernel and init unless `fromSource`. */
  readonly cacheDir?: string;
  /** Compiles kernel and init again, with a toolchain that is unpacked again. Minutes. */
  readonly fromSource: boolean;
  readonly engine?: EngineName;
  /** As the image was built with them. */
  readonly base?: string;
  readonly blobs?: string;
  /** For tests. */
  readonly parts?: EifBuilderOptions['parts'];
}

export function rebuildNitro(options: RebuildNitroOptions): Rebuild {
  const { env, fromSource, onProgress, signal, engine, base, blobs, parts } = options;
  return async (policy, outDir) => {
    const inputs = await openRebuildInputs(options.cacheDir ?? defaultCacheDir(env), fromSource);
    try {
      const builder = await createEifBuilder({
        cacheDir: false,
        inputsDir: inputs.folder,
        env,
        onProgress,
        signal,
        ...(engine === undefined ? {} : { engine }),
        ...(base === undefined ? {} : { base }),
        ...(blobs === undefined ? {} : { blobs }),
        ...(parts === undefined ? {} : { parts }),
      });
      try {
        const { eifPath, measurements } = await builder.build(policy, outDir, { onProgress, signal });
        return { eifPath, measurements, takenAsIs: takenByNitro(measurements.inputs, builder.engine, fromSource) };
      } finally {
        await builder.close();
      }
    } finally {
      await inputs.close();
    }
  };
}

/** What the party trusts, or checks by itself. Downloads are no matter of trust in whoever serves them: the lock names them by digest. */
function takenByNitro(
  { boot, kernel, init, base }: EifInputs,
  engine: { readonly name: string; readonly version: string },
  fromSource: boolean,
): readonly string[] {
  const files = `kernel ${kernel.version} (SHA-256 ${kernel.sha256}) and init (SHA-256 ${init.sha256})`;
  const compiled = fromSource
    ? `${files}: compiled now, from the sources and with the compilers of Debian that build/inputs.lock.json names by digest`
    : `${files}: compiled from the locked sources by an earlier run on this machine, and taken from its cache; --from-source compiles them now`;
  return [
    INSTALLATION,
    'the programs of Debian and Node that build/inputs.lock.json names: each download was checked against its SHA-256',
    boot === 'accord' ? compiled : `${files}: those that Amazon ships with nitro-cli`,
    ...('image' in base
      ? [`the C library and bubblewrap of ${base.image}, as the registry has them under this digest`]
      : []),
    'image' in base
      ? `${engine.name} ${engine.version}, to fetch that image and lay the files out; each file that came back, but those of the C library and of bubblewrap, was compared with what went in`
      : `${engine.name} ${engine.version}, to lay the files out; each file that came back was compared with what went in`,
  ];
}
