/** Starts `sealing-process.ts` and hands its figures on. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Emit } from './figure.ts';

export async function benchSealing(emit: Emit): Promise<void> {
  const entry = join(import.meta.dirname, 'sealing-process.js');
  const { stdout } = await promisify(execFile)(process.execPath, [entry]);
  for (const line of stdout.trimEnd().split('\n')) emit(JSON.parse(line));
}
