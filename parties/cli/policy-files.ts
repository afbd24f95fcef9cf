/** Policies, their parts and trust files, from disk or stdin. */
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { loadPolicy, loadTrust } from '../../policies/load.ts';
import type { CanonicalPolicy, Policy } from '../../policies/model.ts';
import { readText } from './files.ts';
import type { Io } from './verb.ts';

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
