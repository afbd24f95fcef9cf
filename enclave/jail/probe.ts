/** What a jail that was started to try it out tells the gate: the kernel holds it by these. */

/** How a jail was started: its one argument. Without one, it serves only where everything holds it. */
export const PROBE = 'probe';
/** The gate knows what is missing. */
export const LENIENT = 'lenient';

export interface Held {
  readonly seccomp: boolean;
  readonly limits: boolean;
  readonly uid: number;
  /** Its own number: 1 in a namespace of its own. */
  readonly pid: number;
}

export const writeHeld = (held: Held): string => JSON.stringify(held);

/** Undefined where the jail did not say it whole: it was ended meanwhile, or never started. */
export function readHeld(said: string): Held | undefined {
  try {
    return JSON.parse(said);
  } catch {
    return undefined;
  }
}
