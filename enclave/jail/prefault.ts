/**
 * Memory of a call, taken from the kernel while nobody waits: a picture is decoded into pages that are there already, as many
 * as PREFAULTED_BYTES, and not one by one while its caller waits (10,000 faults, some 25 ms, for one of 13 million pixels).
 */
import { openLibrary } from '../libc.ts';

/**
 * Of the environment of a process that keeps what it has freed, all of it in the one heap that its threads share
 * (glibc's tunables, which are read when a process starts).
 */
export const KEEPS_FREED_MEMORY: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: 'glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824:glibc.malloc.arena_max=1',
};

/**
 * The coefficients of a progressive JPEG of 13 million pixels (1.5 samples of 2 bytes each: 39 MB) and what scales them. With it
 * a process is no larger than while it serves such a picture.
 */
const PREFAULTED_BYTES = 44 * 2 ** 20;

/** Does nothing where no C library can be asked: that process is not held either (confine.ts). Throws where there is no memory. */
export function prefaultHeap(): void {
  const library = cLibrary();
  if (library === undefined) return;
  const malloc = library.func('void *malloc(size_t bytes)');
  const memset = library.func('void *memset(void *memory, int byte, size_t bytes)');
  const free = library.func('void free(void *memory)');
  const memory: unknown = malloc(PREFAULTED_BYTES);
  if (memory === null) throw new Error('there is no memory for a picture');
  memset(memory, 0, PREFAULTED_BYTES);
  free(memory);
}

function cLibrary(): ReturnType<typeof openLibrary>['library'] | undefined {
  try {
    return openLibrary().library;
  } catch {
    return undefined;
  }
}
