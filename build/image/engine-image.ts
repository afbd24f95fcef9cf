/**
 * The configuration of a container image: what an engine prints of one, read strictly, and compared with what was asked.
 * An engine that used another policy from its cache, or a daemon that adds a variable, is found out here.
 */
import { Failure } from '../../policies/failure.ts';

export type EngineImageCode = 'image/unreadable' | 'image/not-as-asked';

export interface EngineImage {
  readonly os: string;
  readonly architecture: string;
  /** SHA-256 of each uncompressed layer, lowest first: `sha256:` and 64 hex digits. */
  readonly diffIds: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  /** Entry point and arguments. */
  readonly command: readonly string[];
  readonly user: string;
  readonly workingFolder: string;
  /** Settings that nothing here wants, by name, where they are set: volumes, triggers, health checks. */
  readonly others: readonly string[];
}

export interface AskedImage {
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/** Engines put it into every image. Nothing in the image looks programs up, so it does not reach the enclave. */
const PATH_OF_ENGINES = /^PATH=[\w/:.-]*$/;
const DIFF_ID = /^sha256:[0-9a-f]{64}$/;
const MAX_LAYERS = 127;
const UNWANTED = ['Volumes', 'OnBuild', 'Healthcheck', 'ExposedPorts', 'Shell', 'StopSignal', 'ArgsEscaped'] as const;

/** `docker image inspect`, `podman image inspect`: a list of one. */
export function parseDockerImage(text: string): EngineImage {
  const list = parse(text);
  const image = Array.isArray(list) && list.length === 1 ? field(list, '0') : undefined;
  return read({
    os: field(image, 'Os'),
    architecture: field(image, 'Architecture'),
    layers: field(field(image, 'RootFS'), 'Layers'),
    config: field(image, 'Config'),
  });
}

/** `buildah inspect --type image`. */
export function parseBuildahImage(text: string): EngineImage {
  return parseOciConfig(field(parse(text), 'OCIv1'));
}

/** The configuration as it stands in an archive. */
export function parseConfigFile(text: string): EngineImage {
  return parseOciConfig(parse(text));
}

function parseOciConfig(image: unknown): EngineImage {
  return read({
    os: field(image, 'os'),
    architecture: field(image, 'architecture'),
    layers: field(field(image, 'rootfs'), 'diff_ids'),
    config: field(image, 'config'),
  });
}

/** Throws `Failure<EngineImageCode>`, kind `refused`, unless the image runs what was asked, with that environment alone. */
export function demandAsAsked(image: EngineImage, asked: AskedImage): void {
  const refuse = (where: string, why: string): Failure<EngineImageCode> =>
    new Failure('refused', 'image/not-as-asked', `the container engine did not build what was asked: ${why}`, {
      where,
      hint: 'nothing was written; clear the cache of the engine and run the same command again, or name another with --engine',
    });
  const platform = `${image.os}/${image.architecture}`;
  if (platform !== 'linux/amd64') throw refuse('architecture', `the image is for ${platform}, not linux/amd64`);
  const own = image.environment.filter((pair) => !PATH_OF_ENGINES.test(pair));
  const wanted = Object.entries(asked.environment).map(([name, value]) => `${name}=${value}`);
  for (const pair of wanted) {
    const name = pair.slice(0, pair.indexOf('='));
    if (!own.includes(pair)) throw refuse(name, `${name} is not what was given as build argument`);
  }
  const stray = own.find((pair) => !wanted.includes(pair)) ?? (own.length > wanted.length ? own[0] : undefined);
  if (stray !== undefined) throw refuse('env', `the environment also has ${stray.slice(0, stray.indexOf('='))}`);
  if (JSON.stringify(image.command) !== JSON.stringify(asked.command)) {
    throw refuse('cmd', `the image would start ${JSON.stringify(image.command)}`);
  }
  if (image.user !== '') throw refuse('user', `the image would run as ${image.user}`);
  if (!['', '/'].includes(image.workingFolder))
    throw refuse('workdir', `the image would run in ${image.workingFolder}`);
  const other = image.others[0];
  if (other !== undefined) throw refuse(other, `the image sets ${other}`);
}

interface Parts {
  readonly os: unknown;
  readonly architecture: unknown;
  readonly layers: unknown;
  readonly config: unknown;
}

function read({ os, architecture, layers, config }: Parts): EngineImage {
  const diffIds = texts(layers, 'the layers');
  if (diffIds.length === 0 || diffIds.length > MAX_LAYERS || !diffIds.every((id) => DIFF_ID.test(id))) {
    throw unreadable(`its list of ${diffIds.length} layers is not one of 1 to ${MAX_LAYERS} SHA-256 digests`);
  }
  return {
    os: text(os, 'the operating system'),
    architecture: text(architecture, 'the architecture'),
    diffIds,
    environment: texts(field(config, 'Env') ?? [], 'the environment'),
    command: [
      ...texts(field(config, 'Entrypoint') ?? [], 'the entry point'),
      ...texts(field(config, 'Cmd') ?? [], 'the command'),
    ],
    user: text(field(config, 'User') ?? '', 'the user'),
    workingFolder: text(field(config, 'WorkingDir') ?? '', 'the folder'),
    others: UNWANTED.filter((name) => isSet(field(config, name))),
  };
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return false;
  return typeof value === 'object' ? Object.keys(value).length > 0 : true;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw unreadable('it is no JSON');
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw unreadable(`${what} is no text`);
}

function texts(value: unknown, what: string): readonly string[] {
  if (!Array.isArray(value)) throw unreadable(`${what} is no list`);
  return value.map((one: unknown) => text(one, what));
}

function unreadable(why: string): Failure<EngineImageCode> {
  return new Failure('malformed', 'image/unreadable', `what the engine says of the image cannot be used: ${why}`, {
    hint: 'update the container engine, or name another with --engine',
  });
}
