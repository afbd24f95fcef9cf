/** Whether `YYYY-MM-DD` is a day that exists. */
export function isCalendarDate(date: string): boolean {
  const time = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().slice(0, 10) === date;
}

/** The first moment after the day has passed (UTC), in milliseconds since 1970: calls are refused from then on. */
export function endOfDay(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) + 86_400_000;
}
