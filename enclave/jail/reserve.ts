/**
 * Memory of a call, taken from the kernel while nobody waits: where a picture is decoded into pages that are there already,
 * none has to be made while its caller waits (10,000 faults, some 25 ms, for one of 13 million pixels).
 */
import { openLibrary } from '../libc.ts';

/**
 * Of the environment of a process that keeps what it has freed, all of it in the one heap that its threads share
 * (glibc's tunables, which are read when a process starts).
 */
export const KEEPS_MEMORY: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: 'glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824:glibc.malloc.arena_max=1',
};

/** What the coefficients of a progressive JPEG of 13 million pixels take. With it a process is no larger than while it serves. */
const RESERVED_BYTES = 44 * 2 ** 20;

/** Goes without where the C library cannot be asked. Throws where there is no such memory. */
export function reserveMemory(): void {
  const heap = bindHeap();
  if (heap === undefined) return;
  const memory = heap.malloc(RESERVED_BYTES);
  if (memory === null) throw new Error('there is no memory for a picture');
  heap.memset(memory, 0xff, RESERVED_BYTES);
  heap.free(memory);
}

interface Heap {
  malloc(bytes: number): unknown;
  memset(memory: unknown, byte: number, bytes: number): void;
  free(memory: unknown): void;
}

function bindHeap(): Heap | undefined {
  try {
    const { library } = openLibrary();
    return {
      malloc: library.func('void *malloc(size_t bytes)'),
      memset: library.func('void *memset(void *memory, int byte, size_t bytes)'),
      free: library.func('void free(void *memory)'),
    };
  } catch {
    return undefined;
  }
}
