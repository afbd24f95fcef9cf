/** Times as S3 writes and reads them: whole seconds. */

/** `2026-01-02T03:04:05.000Z`. */
export function isoDate(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}.000Z`;
}

/** `Fri, 02 Jan 2026 03:04:05 GMT`. */
export function httpDate(time: number): string {
  return new Date(time).toUTCString();
}

/** ISO 8601 with a zone; undefined for anything else. */
export function readDate(text: string): number | undefined {
  const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/.test(text)
    ? Date.parse(text)
    : NaN;
  return Number.isNaN(time) ? undefined : time;
}
