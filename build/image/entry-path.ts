/** Which paths and link targets may stand in an archive; the same rules for those that we write and those that we read. */
export const TRAILER = 'TRAILER!!!';
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;

/** Why `path` may not stand in an archive, or undefined. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'it is empty';
  if (path.startsWith('/')) return 'it is absolute';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it has more than ${MAX_PATH_BYTES} bytes`;
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f\uFFFD]/.test(path)) return 'it holds control characters or is not UTF-8';
  for (const part of path.split('/')) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has the part "${part}"`;
    if (Buffer.byteLength(part) > MAX_NAME_BYTES) return `a part of it has more than ${MAX_NAME_BYTES} bytes`;
  }
  return path === TRAILER ? 'it is the name that ends an archive' : undefined;
}

/** The folder of `path`; '' for the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/**
 * Why a symbolic link at `path` may not lead to `target`, or undefined. A target may climb first and then only descend:
 * then each link stays inside, whatever other links its way down passes.
 */
export function targetFault(path: string, target: string): string | undefined {
  if (target === '' || target.includes('\0')) return 'its target is empty or holds a zero';
  if (target.startsWith('/')) return 'its target is absolute';
  if (Buffer.byteLength(target) > MAX_PATH_BYTES) return `its target has more than ${MAX_PATH_BYTES} bytes`;
  const parts = target.split('/');
  const climbs = parts.findIndex((part) => part !== '..');
  const down = climbs === -1 ? [] : parts.slice(climbs);
  if (down.includes('..')) return 'its target climbs after it has descended';
  const depth = path.split('/').length - 1;
  return parts.length - down.length > depth ? 'its target is outside of the archive' : undefined;
}
