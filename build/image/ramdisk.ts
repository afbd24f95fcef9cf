/**
 * The ramdisks of an image: init first, then the base, then the collaboration, which is all that a policy changes.
 *
 *     init            the first process; on the local host a text that says who plays it
 *     rootfs/…        the base: Node, the bundled enclave, its packages
 *     cmd, env        the collaboration: one argument a line; one NAME=value a line
 *     rootfs/accord/transport      "local" or "nitro": where NSM and vsock are
 */
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import { encodeCpio } from './cpio.ts';

export type RamdiskCode = 'image/policy-too-large' | 'image/command' | 'image/environment';

export type Transport = 'local' | 'nitro';

export const PATHS = {
  init: 'init',
  root: 'rootfs',
  node: 'rootfs/usr/bin/node',
  accord: 'rootfs/accord',
  gate: 'rootfs/accord/gate.mjs',
  decode: 'rootfs/accord/jail/decode.mjs',
  compute: 'rootfs/accord/jail/compute.mjs',
  record: 'rootfs/accord/jail/record.mjs',
  tree: 'rootfs/accord/jail/tree.mjs',
  scope: 'rootfs/accord/package.json',
  packages: 'rootfs/accord/node_modules',
  transport: 'rootfs/accord/transport',
  command: 'cmd',
  environment: 'env',
} as const;

export const FOLDER_MODE = 0o755;
export const FILE_MODE = 0o644;
export const PROGRAM_MODE = 0o755;

/** The Docker build argument, and the variable in the enclave, that carries the canonical policy. */
export const POLICY_VARIABLE = 'ACCORD_POLICY';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

export interface Collaboration {
  /** Canonical policy (RFC 8785), which holds no line break. */
  readonly policy: string;
  readonly transport: Transport;
  /** The program and its arguments, seen from the unpacked root. */
  readonly command: readonly string[];
}

/** The last ramdisk. The folders on the way are named again, so that it can be read by itself. */
export function collaborationRamdisk({ policy, transport, command }: Collaboration): Uint8Array {
  const policyBytes = encode(policy).length;
  if (policyBytes > LIMITS.policyBytes) {
    throw new Failure<RamdiskCode>(
      'malformed',
      'image/policy-too-large',
      `the canonical policy has ${policyBytes} bytes; an image carries at most ${LIMITS.policyBytes}`,
      { where: POLICY_VARIABLE, hint: 'name fewer parties or functions, or split the collaboration' },
    );
  }
  const environment = `${POLICY_VARIABLE}=${policy}\n`;
  const lines = `${command.join('\n')}\n`;
  // What is written must read back as what was meant: a line break in an argument would make two of it.
  if (parseCommand(encode(lines)).length !== command.length) throw commandFault('an argument holds a line break');
  parseEnvironment(encode(environment));
  return encodeCpio([
    { kind: 'file', path: PATHS.command, mode: FILE_MODE, content: encode(lines) },
    { kind: 'file', path: PATHS.environment, mode: FILE_MODE, content: encode(environment) },
    { kind: 'directory', path: PATHS.root, mode: FOLDER_MODE },
    { kind: 'directory', path: PATHS.accord, mode: FOLDER_MODE },
    { kind: 'file', path: PATHS.transport, mode: FILE_MODE, content: encode(`${transport}\n`) },
  ]);
}

/** The first ramdisk where there is no init of our own. */
export function textRamdisk(path: string, text: string): Uint8Array {
  return encodeCpio([{ kind: 'file', path, mode: FILE_MODE, content: encode(text) }]);
}

/** `/cmd`: one argument a line, the last line ended or not. */
export function parseCommand(bytes: Uint8Array): readonly string[] {
  const lines = linesOf(bytes, commandFault);
  if (lines.length === 0 || lines[0] === '') throw commandFault('it names no program');
  return lines;
}

/** `/env`: one NAME=value a line, each name once. */
export function parseEnvironment(bytes: Uint8Array): Readonly<Record<string, string>> {
  const pairs = linesOf(bytes, environmentFault).map((line, i): readonly [string, string] => {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([^\n]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw environmentFault(`line ${i + 1} is not NAME=value`);
    return [name, value];
  });
  const twice = pairs.find(([name], i) => pairs.findIndex(([other]) => other === name) !== i);
  if (twice !== undefined) throw environmentFault(`${twice[0]} is set twice`);
  return Object.fromEntries(pairs);
}

function linesOf(bytes: Uint8Array, fault: (why: string) => Failure<RamdiskCode>): readonly string[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fault('it is not UTF-8');
  }
  if (/[\0\r]/.test(text)) throw fault('it holds a zero or a carriage return');
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function commandFault(why: string): Failure<RamdiskCode> {
  return new Failure('malformed', 'image/command', `the image's /cmd cannot be used: ${why}`, { where: '/cmd' });
}

function environmentFault(why: string): Failure<RamdiskCode> {
  return new Failure('malformed', 'image/environment', `the image's /env cannot be used: ${why}`, { where: '/env' });
}
