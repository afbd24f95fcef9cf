import { canonicalize } from './canonical.ts';
import { compose } from './reading/compose.ts';
import { BOUNDS } from './bounds.ts';
import { PolicyFailure, type Document, type Fault } from './fault.ts';
import { FOLDER_WITHOUT_TRIAL } from './format/durability.ts';
import { localTrust } from './format/trust.ts';
import type { LocalTrust, Policy } from './model.ts';
import { policySchema, policyShape } from './schema.ts';
import { recordOf } from './reading/collections.ts';
import type { JsonSchema, Reading, Shape } from './reading/shape.ts';
import { follow, formatPath, keysAt, type Source } from './reading/source.ts';
import { parseYaml } from './reading/yaml.ts';

export interface LoadOptions {
  /** The file's name, for faults. */
  readonly file: string;
  /** A local stand-in for AWS, composed in; the policy itself must then not say otherwise. */
  readonly trust?: LocalTrust;
  /** Further files of the same policy, for example one a party. */
  readonly compose?: readonly { readonly file: string; readonly text: string }[];
}

/**
 * YAML (or JSON) → the agreement, composed and with its defaults filled in.
 * @throws PolicyFailure with all faults at once: kind `unsupported` where nothing else is wrong, else `malformed`
 */
export function loadPolicy(text: string, options: LoadOptions): Policy {
  const faults: Fault[] = [];
  const base = parseYaml(text, options.file, faults);
  const parts = (options.compose ?? []).map((part) => parseYaml(part.text, part.file, faults));
  const readable = parts.filter((part) => part !== undefined);
  if (base === undefined || readable.length < parts.length) throw failure(faults);
  const source = compose(base, readable, faults);
  const policy = read(policyShape, source, faults);
  const trusted = withTrust(policy, source, options, faults);
  refuseFolders(source, options, faults);
  if (trusted !== undefined) refuseOversized(trusted, options.file, faults);
  if (trusted === undefined || faults.length > 0) throw failure(faults);
  return trusted;
}

/**
 * The small file that `accord local-aws` writes.
 * @throws PolicyFailure `malformed`
 */
export function loadTrust(text: string, file: string): LocalTrust {
  const faults: Fault[] = [];
  const source = parseYaml(text, file, faults);
  // A key that no trust file has is nobody's home elsewhere: whoever hands in a policy has named the wrong file.
  const trust = source === undefined ? undefined : read(localTrust, source, faults, new Map());
  if (trust === undefined || faults.length > 0) throw failure(faults, 'trust file');
  return trust;
}

function read<T>(shape: Shape<T>, source: Source, faults: Fault[], homes = HOMES): T | undefined {
  const parties = new Set(keysAt(source, ['parties']));
  const reading: Reading = { faults, parties, homes };
  return shape.read(source, [], reading);
}

function withTrust(
  policy: Policy | undefined,
  source: Source,
  { trust, file }: LoadOptions,
  faults: Fault[],
): Policy | undefined {
  if (trust === undefined) return policy;
  const written = follow(source, ['trust']);
  const same = policy !== undefined && canonicalize(policy.trust) === canonicalize(trust);
  if (written === undefined || same) return policy === undefined ? undefined : { ...policy, trust };
  faults.push({
    ...(written.at.file === '' ? { ...written.at, file } : written.at),
    path: 'trust',
    code: 'policy/defined-twice',
    message: 'the policy says whom to trust, and the trust file says otherwise',
    hint: 'leave `trust` out of the policy, or call without the trust file',
  });
  return undefined;
}

/** Without a local trust, whoever holds the host would hold the anchor too. */
function refuseFolders(source: Source, { trust }: LoadOptions, faults: Fault[]): void {
  if (trust !== undefined || follow(source, ['trust'])?.kind === 'map') return;
  for (const owner of keysAt(source, ['anchors'])) {
    const folder = follow(source, ['anchors', owner, 'folder']);
    if (folder !== undefined)
      faults.push({ ...folder.at, path: formatPath(['anchors', owner, 'folder']), ...FOLDER_WITHOUT_TRIAL });
  }
}

function refuseOversized(policy: Policy, file: string, faults: Fault[]): void {
  // The canonical form has hashes in place of ARNs, and every hash is as long as this.
  const kmsKey = { region: 'ap-southeast-99', arnHash: '0'.repeat(64) };
  const parties = recordOf(Object.entries(policy.parties).map(([name, { role }]) => [name, { role, kmsKey }] as const));
  const bytes = canonicalize({ ...policy, parties }).length;
  if (bytes <= BOUNDS.canonicalBytes) return;
  faults.push({
    file,
    line: 1,
    column: 1,
    path: '',
    code: 'policy/canonical-too-large',
    message: `its canonical form has ${bytes} bytes; an image carries at most ${BOUNDS.canonicalBytes}`,
    hint: 'fewer parties or functions, or shorter names',
  });
}

function failure(faults: readonly Fault[], file: Document = 'policy'): PolicyFailure {
  const [first, ...others] = [...faults].sort(
    (a, b) => Number(a.file > b.file) - Number(a.file < b.file) || a.line - b.line || a.column - b.column,
  );
  if (first === undefined) throw new Error('a policy was refused without a fault');
  return new PolicyFailure([first, ...others], file);
}

/** `padTo` → `functions.<name>.release`: for keys that stand in the wrong place. */
const HOMES: ReadonlyMap<string, string> = homes();

function homes(): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (schema: unknown, path: string): void => {
    if (!isSchema(schema)) return;
    if (isSchema(schema['properties'])) {
      for (const [key, inner] of Object.entries(schema['properties'])) {
        if (!found.has(key)) found.set(key, path === '' ? 'the top level' : path);
        walk(inner, path === '' ? key : `${path}.${key}`);
      }
    }
    walk(schema['additionalProperties'], `${path}.<name>`);
    if (Array.isArray(schema['oneOf'])) for (const inner of schema['oneOf']) walk(inner, path);
  };
  walk(policySchema, '');
  return found;
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
