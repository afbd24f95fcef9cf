/** Images of the conformance test's gate: for the local host, and real ones with a kernel, an init and shared libraries. */
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bundleEntry } from '../../../build/bundle.ts';
import { localBase } from '../../../build/local-base.ts';
import type { BootParts } from '../../../build/boot.ts';
import { encodeCpio, planCpio, writeCpio } from '../../../build/image/cpio.ts';
import type { CpioEntry } from '../../../build/image/cpio.ts';
import { writeEif } from '../../../build/eif/write.ts';
import type { SectionInput } from '../../../build/eif/write.ts';
import { PATHS } from '../../../build/image/ramdisk.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const file = (path: string, content: string) =>
  ({ kind: 'file', path, mode: 0o644, content: text(content) }) as const satisfies CpioEntry;
const folder = (path: string) => ({ kind: 'directory', path, mode: 0o755 }) as const satisfies CpioEntry;

export interface ImageOptions {
  /** `silent`: boots and never serves. */
  readonly mode: 'serves' | 'silent';
  /** For a real image; without it one for the local host. */
  readonly boot?: BootParts;
}

let base: Promise<readonly CpioEntry[]> | undefined;

/** Writes one to `path`, which must not exist. */
export async function writeConformanceImage(path: string, { mode, boot }: ImageOptions): Promise<void> {
  base ??= makeBase();
  const entries = await base;
  const environment = `MODE=${mode}\nACCORD_POLICY={"a":"b c"}\n`;
  const sections: SectionInput[] =
    boot === undefined
      ? [
          { kind: 'kernel', content: text('none') },
          { kind: 'cmdline', content: text('none') },
          { kind: 'metadata', content: text('{}') },
          { kind: 'ramdisk', content: encodeCpio([file('init', 'none')]) },
          { kind: 'ramdisk', content: await archive(entries) },
          { kind: 'ramdisk', content: last('local', [PATHS.node, PATHS.gate], environment) },
        ]
      : [
          { kind: 'kernel', content: new Uint8Array(readFileSync(boot.kernel)) },
          { kind: 'cmdline', content: text(boot.commandLine) },
          { kind: 'metadata', content: text('{}') },
          { kind: 'ramdisk', content: boot.init },
          { kind: 'ramdisk', content: await archive([...entries, ...sharedLibraries()]) },
          { kind: 'ramdisk', content: last('nitro', ['/usr/bin/node', '/accord/gate.mjs'], environment) },
        ];
  await writeEif(path, { architecture: 'x86_64', defaultMemory: 1n, defaultCpus: 1n }, sections);
}

async function makeBase(): Promise<readonly CpioEntry[]> {
  const root = join(import.meta.dirname, '..', '..', '..');
  const gate = await bundleEntry(join(import.meta.dirname, 'conformance-gate.ts'), PATHS.gate, root);
  const { entries } = await localBase({ root, bundles: [gate], packages: ['koffi'] });
  return entries;
}

async function archive(entries: readonly CpioEntry[]): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeCpio(planCpio(entries))) pieces.push(new Uint8Array(piece));
  return Buffer.concat(pieces);
}

function last(transport: string, command: readonly string[], environment: string): Uint8Array {
  return encodeCpio([
    file(PATHS.command, `${command.join('\n')}\n`),
    file(PATHS.environment, environment),
    folder(PATHS.root),
    folder(PATHS.accord),
    file(PATHS.transport, `${transport}\n`),
  ]);
}

/** What this machine's Node asks for, where it looks for it. */
function sharedLibraries(): readonly CpioEntry[] {
  const printed = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  const entries = new Map<string, CpioEntry>();
  const addFolder = (path: string): void => {
    if (path === PATHS.root || entries.has(path)) return;
    addFolder(dirname(path));
    entries.set(path, folder(path));
  };
  for (const [, library] of printed.matchAll(/(\/\S+) \(0x/g)) {
    if (library === undefined) continue;
    const path = `${PATHS.root}${library}`;
    const source = realpathSync(library);
    addFolder(dirname(path));
    entries.set(path, { kind: 'file', path, mode: 0o755, content: { file: source, bytes: statSync(source).size } });
  }
  return [...entries.values()].filter(({ path }) => !['rootfs/usr', 'rootfs/usr/bin'].includes(path));
}
