/** Numbers of an answer, as the gate writes them. */

/** To `decimals` digits after the point, 0 to 6; never -0. */
export function round(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor + 0;
}

/** Into 0 to 1. */
export const clip = (value: number): number => Math.min(1, Math.max(0, value));
