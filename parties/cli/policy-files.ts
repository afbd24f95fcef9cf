/** Policies, their parts and trust files, from disk or stdin. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { Failure } from '../../policies/failure.ts';
import { loadPolicy, loadTrust } from '../../policies/load.ts';
import type { CanonicalPolicy, Policy } from '../../policies/model.ts';
import type { Io } from './verb.ts';

export type PolicyFileCode = 'cli/no-such-file' | 'cli/unreadable' | 'policy/not-text';

/** One policy of one or more files, `-` being stdin, with a trust file composed in where there is one. */
export async function readPolicy(io: Io, files: readonly [string, ...string[]], trust?: string): Promise<Policy> {
  const [file, ...parts] = files;
  const text = await readText(io, file);
  const compose = await Promise.all(parts.map(async (part) => ({ file: part, text: await readText(io, part) })));
  if (trust === undefined) return loadPolicy(text, { file, compose });
  return loadPolicy(text, { file, compose, trust: loadTrust(await readText(io, trust), trust) });
}

/** Likewise, but one file may also hold a canonical policy, as an image carries and the orchestrator publishes it. */
export async function readAgreement(
  io: Io,
  files: readonly [string, ...string[]],
  trust?: string,
): Promise<Policy | CanonicalPolicy> {
  const [file, ...parts] = files;
  if (parts.length === 0 && trust === undefined && file !== '-') {
    const text = (await readText(io, file)).trimEnd();
    // A written policy may be JSON too, but it has no hashes of ARNs.
    if (text.startsWith('{"anchors":') && text.includes('"arnHash":')) return parseCanonicalPolicy(text);
  }
  return readPolicy(io, files, trust);
}

async function readText(io: Io, file: string): Promise<string> {
  const bytes = file === '-' ? await io.stdin() : await readBytes(io, file);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Failure<PolicyFileCode>('malformed', 'policy/not-text', `${file} is not UTF-8 text`, {
      where: file,
      hint: 'is this the right file?',
      cause,
    });
  }
}

async function readBytes(io: Io, file: string): Promise<Uint8Array> {
  try {
    return await readFile(resolve(io.cwd, file), { signal: io.signal });
  } catch (cause) {
    if (io.signal.aborted) throw cause;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') {
      const message = code === 'EISDIR' ? `${file} is a folder` : `there is no file ${file}`;
      throw new Failure<PolicyFileCode>('usage', 'cli/no-such-file', message, { where: file, cause });
    }
    const message = `${file} cannot be read (${code})`;
    throw new Failure<PolicyFileCode>('environment', 'cli/unreadable', message, { where: file, cause });
  }
}
