/**
 * Stage 6. RawOutput -> Confirmed: a quorum of anchors holds the call's ticket. The first of them did before the jail saw
 * the input, the others were asked meanwhile. A refusal that came of the input waits as well: what it says was computed
 * on a ticket too.
 */
import type { Refusal } from '../protocol/refusal.ts';
import type { Admitted } from './admit.ts';
import type { RawOutput } from './compute.ts';
import { demandHeld } from './held.ts';

const CONFIRMED: unique symbol = Symbol('Confirmed');

/** What came of a call that is written down for good. */
export interface Confirmed {
  readonly outcome: RawOutput | Refusal;
  readonly [CONFIRMED]: true;
}

/** Refuses where the ticket could not be had after all; what was computed is thrown away then. */
export async function confirm({ ticket }: Admitted, outcome: RawOutput | Refusal): Promise<Confirmed> {
  await demandHeld(ticket);
  return { outcome, [CONFIRMED]: true };
}
