import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Folders of tests to judge by, separated by commas: of those that stand nearest to what is mutated. Default: all below. */
const judges = process.env['MUTATION_TESTS'];

/** The tests that judge what is mutated, without those that start other processes or machines: a mutant costs a run. */
const config: ViteUserConfig = defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    include: judges?.split(',').map((folder) => `${folder}/**/*.test.ts`) ?? [
      'test/policies/**/*.test.ts',
      'test/enclave/{attest,claims,crypto,encoding,functions,kms,pipeline,protocol,state,vsock}/**/*.test.ts',
      'test/parties/attestation/**/*.test.ts',
    ],
    // What judges a bundle (its size) sees the mutations' own code.
    exclude: ['**/*moto*', '**/*-local.test.ts', '**/browser.test.ts'],
  },
});

export default config;
