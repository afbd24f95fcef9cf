/** What engines print when they fail, in words a person can act on. Their own last lines are always told with it. */
import { Failure } from '../../policies/failure.ts';
import type { DiskCode } from '../disk.ts';
import type { EngineCode, EngineName } from './engine.ts';

interface Pattern {
  readonly says: RegExp;
  readonly code: EngineCode | DiskCode;
  readonly message: (engine: EngineName) => string;
  readonly hint: (engine: EngineName) => string;
}

/** The first that matches counts. */
const PATTERNS: readonly Pattern[] = [
  {
    says: /no space left on device|disk quota exceeded|file too large/i,
    code: 'disk/full',
    message: (engine) => `the disk is full, says ${engine}`,
    hint: () =>
      'free some space (the engine keeps the image, about 200 MB, and so does the cache) and run the same command again',
  },
  {
    says: /permission denied.*(docker|daemon).*(sock|api)|(docker|daemon).*sock.*permission denied/i,
    code: 'engine/denied',
    message: (engine) => `this user may not talk to the daemon of ${engine}`,
    hint: () =>
      'add the user to the group "docker" (which is as good as root) and log in again, or use an engine without a daemon: --engine buildah',
  },
  {
    says: /cannot connect to the docker daemon|is the docker daemon running|error during connect|failed to connect to the docker api/i,
    code: 'engine/not-running',
    message: (engine) => `${engine} is installed, but its daemon does not answer`,
    hint: () =>
      'start it (sudo systemctl start docker), look at DOCKER_HOST, or use an engine without a daemon: --engine buildah',
  },
  {
    says: /newuidmap|newgidmap|cannot clone|user namespace|operation not permitted|cannot set up namespace|subuid/i,
    code: 'engine/denied',
    message: (engine) => `${engine} may not make what it needs here (a user namespace, or a mount)`,
    hint: (engine) =>
      `run it as root, or let this user have user namespaces (Debian: apt-get install uidmap, and lines in /etc/subuid and /etc/subgid), or name another engine than ${engine}`,
  },
  {
    says: /manifest unknown|pull access denied|repository does not exist|name unknown|reading manifest|initializing source docker|pinging container registry|error pulling image|invalid reference format|failed to resolve|no such host|dial tcp|toomanyrequests/i,
    code: 'engine/base',
    message: (engine) => `${engine} cannot get the base image from its registry`,
    hint: () => 'look at the reference, the network and `docker login`; without --base no registry is needed',
  },
];

export function engineFailure(
  engine: EngineName,
  argv: readonly string[],
  ended: number | string,
  said: string,
): Failure<EngineCode | DiskCode> {
  const last = lastLines(said);
  const found = PATTERNS.find(({ says }) => says.test(said));
  const details = {
    where: argv
      .filter((word) => !word.startsWith('-'))
      .slice(0, 2)
      .join(' '),
  };
  if (found !== undefined) {
    const { code, message, hint } = found;
    return new Failure('environment', code, `${message(engine)}${last}`, { ...details, hint: hint(engine) });
  }
  const how = typeof ended === 'number' ? `with exit code ${ended}` : `by ${ended}`;
  return new Failure('environment', 'engine/failed', `${engine} ended ${how}${last}`, {
    ...details,
    hint: 'the lines above are its own; run the same command again, or name another engine with --engine',
  });
}

const TOLD_LINES = 4;
const TOLD_CHARACTERS = 300;

function lastLines(said: string): string {
  const lines = said
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(DEPRECATED|Install the buildx|https:\/\/docs\.docker\.com)/.test(line));
  const told = lines.slice(-TOLD_LINES).map((line) => line.slice(0, TOLD_CHARACTERS));
  return told.length === 0 ? '' : `: ${told.join(' | ')}`;
}
