/**
 * `npm run mutate -- [--mutate FILE,…]`: changes the sources one place at a time and asks whether a test notices. It works on
 * the files where they stand (`inPlace`), puts them back at its end, and wants a checkout that nobody works in.
 *
 * All of it is more than 10,000 mutants, a matter of days. A part, by its own tests alone, is one of an hour:
 * `MUTATION_TESTS=test/enclave/crypto npm run mutate -- --mutate 'enclave/crypto/*.ts'`.
 *
 * Constants that are computed when a module is loaded are left alone (`ignoreStatic`): each would cost a run of all tests.
 */
export default {
  inPlace: true,
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts' },
  plugins: ['@stryker-mutator/vitest-runner'],
  mutate: [
    'policies/**/*.ts',
    'enclave/**/*.ts',
    'parties/attestation/**/*.ts',
    '!policies/examples/**',
    '!enclave/functions/generated/**',
  ],
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  disableTypeChecks: false,
  concurrency: 2,
  timeoutMS: 20_000,
  dryRunTimeoutMinutes: 30,
  reporters: ['clear-text', 'json', 'progress-append-only'],
  jsonReporter: { fileName: 'coverage/mutation.json' },
  clearTextReporter: { allowColor: false, reportTests: false },
  tempDirName: '.cache/mutation',
  cleanTempDir: 'always',
};
