/** What was measured on this machine, as one small file: `measured-times.json`. None of it is secret, and none is proven. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { errorCode, makeFolder } from '../../build/disk.ts';
import type { FunctionPolicy, Policy } from '../../policies/model.ts';
import type { MeasuredTime } from '../../policies/weakenings-time.ts';
import { callersOf } from '../../policies/quota.ts';
import { fileFailure } from '../files.ts';
import { jsonFields, parseJson } from '../json-fields.ts';
import type { Fields } from '../json-fields.ts';
import { writePrivateFile } from '../private-files.ts';

export type MeasuredCode = 'measure-time/malformed-file';

export interface Measurement extends MeasuredTime {
  readonly collaboration: string;
  readonly function: string;
  /** Of `termsOf`: measured for others, it says nothing. */
  readonly terms: string;
  /** Hex; undefined where none was needed. */
  readonly modelSha256?: string;
  /** Of the size that took longest, as the times are. */
  readonly calls: number;
  readonly p50Ms: number;
  readonly recommendedAfterMs: number;
}

const FILE = 'measured-times.json';
const MALFORMED: MeasuredCode = 'measure-time/malformed-file';
const HINT = 'delete the file, and measure again with `accord measure-time`';

/** Where a program was started. */
interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** `--home`, else `ACCORD_HOME`, else `./.accord`: whoever only checks a policy has no home of a party. */
export function timesFolder(home: string | undefined, { env, cwd }: Surroundings): string {
  const named = home ?? env['ACCORD_HOME'];
  return resolve(cwd, named === undefined || named === '' ? '.accord' : named);
}

/** What decides how long a function computes, besides its model and the machine. */
export function termsOf(one: FunctionPolicy): string {
  const callers = callersOf(one).length;
  const tree = one.uses === 'decision-tree' ? [`${one.tree.depth}/${one.tree.nodes}/${one.tree.features}`] : [];
  return [one.uses, ...tree, `${callers} callers`, one.input.buckets.join('/')].join(', ');
}

/** All that stand in the folder; none where there is no such file. Throws `measure-time/malformed-file` and `file/…`. */
export async function readMeasurements(folder: string): Promise<readonly Measurement[]> {
  const path = join(folder, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT' || errorCode(cause) === 'ENOTDIR') return [];
    throw fileFailure(cause, path, 'read');
  }
  return jsonFields(parseJson(text, MALFORMED, path, HINT), MALFORMED, path, HINT)
    .list('measurements')
    .map(readOne);
}

function readOne(one: Fields): Measurement {
  const modelSha256 = one.optionalText('modelSha256');
  return {
    collaboration: one.text('collaboration'),
    function: one.text('function'),
    terms: one.text('terms'),
    ...(modelSha256 === undefined ? {} : { modelSha256 }),
    at: one.text('at'),
    host: one.text('host'),
    cpus: one.count('cpus'),
    calls: one.count('calls'),
    p50Ms: one.count('p50Ms'),
    p99Ms: one.count('p99Ms'),
    maxMs: one.count('maxMs'),
    recommendedAfterMs: one.count('recommendedAfterMs'),
  };
}

/** In place of an older one of the same function. Gives the file's path. */
export async function keepMeasurement(folder: string, measured: Measurement): Promise<string> {
  const path = join(folder, FILE);
  const others = (await readMeasurements(folder)).filter(
    (one) => one.collaboration !== measured.collaboration || one.function !== measured.function,
  );
  await makeFolder(folder, 0o700).catch((cause: unknown) => {
    throw fileFailure(cause, folder, 'written');
  });
  await writePrivateFile(path, `${JSON.stringify({ measurements: [...others, measured] }, undefined, 2)}\n`);
  return path;
}

/** Of the policy's functions, those that were measured under the very terms that it has now. */
export function fitting(policy: Policy, all: readonly Measurement[]): Readonly<Record<string, Measurement>> {
  const found = Object.entries(policy.functions).flatMap(([name, one]) => {
    const terms = termsOf(one);
    const measured = all.find(
      (each) => each.collaboration === policy.collaboration && each.function === name && each.terms === terms,
    );
    return measured === undefined ? [] : [[name, measured] as const];
  });
  return Object.fromEntries(found);
}
