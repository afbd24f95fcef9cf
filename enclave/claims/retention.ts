/** How long an entry cannot be removed: longer than the collaboration, so that no spent call comes back while it lasts. */
import { endOfDay } from '../../policies/date.ts';

const DAYS_AFTER = 90;

/** End of the collaboration's last day and 90 days, in milliseconds since 1970. `until`: YYYY-MM-DD. */
export function retainUntil(until: string): number {
  return endOfDay(until) + DAYS_AFTER * 86_400_000;
}
