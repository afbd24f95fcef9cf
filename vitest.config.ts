import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Real processes and sockets are part of many tests, and the smallest machine has two cores.
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      include: ['policies/**/*.ts', 'enclave/**/*.ts', 'build/**/*.ts', 'parties/**/*.ts', 'orchestrator/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
  },
});
