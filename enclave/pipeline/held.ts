/** What a ticket says of itself, as a refusal where it says no. */
import type { Granted, TicketRefused } from '../claims/tickets.ts';
import { Refused } from './refused.ts';

/** Resolves when a quorum of anchors holds the ticket: nothing may change or leave before. Throws `Refused`. */
export async function demandHeld(ticket: Granted): Promise<void> {
  const settled = await ticket.settled;
  if (settled.outcome === 'refused') throw ticketRefusal(settled);
}

export function ticketRefusal({ code, detail }: TicketRefused): Refused {
  return new Refused(code, detail);
}
