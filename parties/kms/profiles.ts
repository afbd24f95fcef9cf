/** The files in which the `aws` command line and the SDK look for profiles, and whether one of them names a profile. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errorCode } from '../../build/disk.ts';

export interface ProfileFiles {
  /** Sections `[default]` and `[profile NAME]`. */
  readonly config: string;
  /** Sections `[NAME]`. */
  readonly credentials: string;
}

/** AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, else those in `~/.aws`; none of them need exist. */
export function profileFiles(env: Readonly<Record<string, string | undefined>>): ProfileFiles {
  const home = env['HOME'] ?? homedir();
  const at = (named: string | undefined, name: string): string =>
    named === undefined ? join(home, '.aws', name) : named.replace(/^~\//, `${home}/`);
  return {
    config: at(env['AWS_CONFIG_FILE'], 'config'),
    credentials: at(env['AWS_SHARED_CREDENTIALS_FILE'], 'credentials'),
  };
}

/** False only where both files were looked through, or are not there: of one that cannot be read nothing is known. */
export async function mayNameProfile({ config, credentials }: ProfileFiles, profile: string): Promise<boolean> {
  const [inConfig, inCredentials] = await Promise.all([sectionsOf(config), sectionsOf(credentials)]);
  if (inConfig === undefined || inCredentials === undefined) return true;
  const named = inConfig.map((section) => /^profile\s+(["']?)(.*)\1$/.exec(section)?.[2] ?? section);
  return named.includes(profile) || inCredentials.includes(profile);
}

/** What stands between brackets at the beginning of a line. */
async function sectionsOf(path: string): Promise<readonly string[] | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    return [...text.matchAll(/^[ \t]*\[([^\]\n]*)\]/gm)].map(([, section = '']) => section.trim());
  } catch (cause) {
    return errorCode(cause) === 'ENOENT' ? [] : undefined;
  }
}
