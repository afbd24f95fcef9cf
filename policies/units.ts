/** Sizes and durations as people write them, and back. */

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['kB', 1000],
  ['KB', 1000],
  ['MB', 1_000_000],
  ['GB', 1_000_000_000],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
]);

/** For the JSON Schema; `parseSize` takes exactly the texts that match and come to a whole number of bytes. */
export const SIZE_PATTERN = '^[0-9]{1,12}(\\.[0-9]{1,6})? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$';

/** `4MiB`, `512 KB`, `1.5MiB` → bytes; undefined if it is not a size or not a whole number of bytes. */
export function parseSize(text: string): number | undefined {
  const match = /^([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]+)$/.exec(text);
  const unit = SIZE_UNITS.get(match?.[2] ?? '');
  if (match === null || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** 4194304 → `4 MiB`; what does not come out even is given in bytes. */
export function formatSize(bytes: number): string {
  if (bytes >= 1024 ** 2 && bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2} MiB`;
  if (bytes >= 1024 && bytes % 1024 === 0) return `${bytes / 1024} KiB`;
  return `${bytes} bytes`;
}

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** `400ms`, `1.5s`, `5m`, `2h`, `30d` → milliseconds; undefined if it is not a duration or not whole milliseconds. */
export function parseDuration(text: string): number | undefined {
  const match = /^([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([a-z]+)$/.exec(text);
  const unit = DURATION_UNITS.get(match?.[2] ?? '');
  if (match === null || unit === undefined) return undefined;
  const milliseconds = Number(match[1]) * unit;
  return Number.isSafeInteger(milliseconds) ? milliseconds : undefined;
}
