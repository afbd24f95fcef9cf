/** Policies, their parts and trust files, from disk or stdin. */
import { BOUNDS } from '../../policies/bounds.ts';
import { parseCanonicalPolicy } from '../../policies/canonical.ts';
import { loadPolicy, loadTrust } from '../../policies/load.ts';
import type { CanonicalPolicy, Policy } from '../../policies/model.ts';
import { readText } from './files.ts';
import type { Io } from './verb.ts';

type Files = readonly [string, ...string[]];

/** One policy of one or more files, `-` being stdin, with a trust file composed in where there is one. */
export async function readPolicy(io: Io, files: Files, trust?: string): Promise<Policy> {
  return load(io, await readPolicyText(io, files[0]), files, trust);
}

/** Likewise, but one file may also hold a canonical policy, as an image carries and the orchestrator publishes it. */
export async function readAgreement(io: Io, files: Files, trust?: string): Promise<Policy | CanonicalPolicy> {
  const [file, ...parts] = files;
  // Once: of a pipe there would be nothing left.
  const text = await readPolicyText(io, file);
  // A written policy may be JSON too, but it has no hashes of ARNs.
  if (parts.length === 0 && trust === undefined && text.startsWith('{"anchors":') && text.includes('"arnHash":')) {
    return parseCanonicalPolicy(text.trimEnd());
  }
  return load(io, text, files, trust);
}

async function load(io: Io, text: string, [file, ...parts]: Files, trust: string | undefined): Promise<Policy> {
  const compose = await Promise.all(parts.map(async (part) => ({ file: part, text: await readPolicyText(io, part) })));
  if (trust === undefined) return loadPolicy(text, { file, compose });
  return loadPolicy(text, { file, compose, trust: loadTrust(await readPolicyText(io, trust), trust) });
}

const readPolicyText = (io: Io, file: string): Promise<string> => readText(io, file, BOUNDS.textBytes);
