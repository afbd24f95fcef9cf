import { defineConfig } from 'vitest/config';

/** Whole stories, virtual machines and container engines: each fills the smallest machine, so they come one at a time. */
const WHOLE = [
  'test/flow/**/*.test.ts',
  'test/orchestrator/hosts/**/*.test.ts',
  'test/build/engine/**/*.test.ts',
  'test/build/init/**/*.test.ts',
  'test/build/reproduce-nitro.test.ts',
];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      // Real processes and sockets are part of many tests, and the smallest machine has two cores.
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['test/**/*.test.ts'],
          exclude: WHOLE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'whole', include: WHOLE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
    coverage: {
      provider: 'v8',
      include: ['policies/**/*.ts', 'enclave/**/*.ts', 'build/**/*.ts', 'parties/**/*.ts', 'orchestrator/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
  },
});
