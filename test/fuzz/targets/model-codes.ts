import { MODEL_CODES } from '../../../enclave/functions/model-refusal.ts';

const LIVE = new Set<string>(['model/session-refused', 'model/not-finite', 'model/too-slow', 'model/crashed']);

/** What reading a package or a model file may say: the rest is said of running it. */
export const MODEL_CODE_SET: ReadonlySet<string> = new Set(MODEL_CODES.filter((code) => !LIVE.has(code)));
