import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // RSA-4096 keys are generated in pure software; on a busy two-core machine that takes seconds.
    // By default one core of two is left unused.
    maxWorkers: 2,
    // Limits are there to end what hangs, not to judge how fast it is.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 30_000 } },
    reporters: ['default', 'json'],
    outputFile: { json: 'coverage/test-results.json' },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      // The bins: the process around what cli.ts does, run in one of its own by their tests.
      exclude: ['src/audit/main.ts', 'src/emulator/main.ts'],
      reporter: ['text', 'json-summary'],
      thresholds: { lines: 95, branches: 95, functions: 95, statements: 95 },
    },
  },
});
