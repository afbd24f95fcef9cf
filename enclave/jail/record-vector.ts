/** From a record as its caller wrote it to numbers in the order of the model's features. Runs in the reading jail. */
import { NotJson, parseJson, type Json, type JsonFault } from '../encoding/strict-json.ts';
import type { RecordRefusal } from './record-refusal.ts';

/** What the gate wants of every record. */
export interface RecordPlan {
  readonly features: readonly string[];
  /** Numbers of a vector; those beyond the features are 0. */
  readonly width: number;
  readonly maxBytes: number;
}

export interface RecordFault {
  readonly reason: RecordRefusal;
  /** See `explainRecord`. */
  readonly place: number;
}

/** {"features": {…}} */
const DEPTH = 2;
const FAULTS = { syntax: 'notJson', duplicate: 'duplicate', depth: 'tooDeep' } as const satisfies Record<
  JsonFault,
  RecordRefusal
>;

const fault = (reason: RecordRefusal, place = 0): RecordFault => ({ reason, place });

/** `width` float32, little-endian. */
export function readRecord(bytes: Uint8Array, { features, width }: RecordPlan): Uint8Array | RecordFault {
  const members = featuresOf(bytes);
  if ('reason' in members) return members;
  const known = new Set(features);
  let position = 0;
  for (const name of members.keys()) {
    position++;
    if (!known.has(name)) return fault('unknown', position);
  }
  const vector = new Uint8Array(4 * width);
  const view = new DataView(vector.buffer);
  for (const [index, name] of features.entries()) {
    const value = members.get(name);
    if (value === undefined) return fault('missing', index);
    if (typeof value !== 'number' && typeof value !== 'boolean') return fault('notNumber', index);
    const number = Math.fround(Number(value));
    if (!Number.isFinite(number)) return fault('tooLarge', index);
    view.setFloat32(4 * index, number, true);
  }
  return vector;
}

function featuresOf(bytes: Uint8Array): ReadonlyMap<string, Json> | RecordFault {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fault('notText');
  }
  try {
    const record = membersOf(parseJson(text, DEPTH));
    const features = record?.size === 1 ? membersOf(record.get('features')) : undefined;
    return features ?? fault('shape');
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    return fault(FAULTS[error.fault], new TextEncoder().encode(text.slice(0, error.at)).length);
  }
}

function membersOf(value: Json | undefined): ReadonlyMap<string, Json> | undefined {
  return value instanceof Map ? value : undefined;
}
