import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: import.meta.dirname,
  test: {
    include: ['test/**/*.spec.ts'],
    // Processes start slowly on a busy machine.
    testTimeout: 60_000,
    // Each test has as many processes as the machine has cores.
    maxWorkers: 1,
  },
});
