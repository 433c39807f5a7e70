/** The specs that need servers, root or a certain Node: `npm run test:engines` runs them, and `npm test` does not. */
import { defineConfig } from 'vitest/config';
import base from '../vitest.config.js';

export default defineConfig({
  root: base.root,
  resolve: base.resolve,
  test: {
    include: ['test/engines/**/*.spec.ts'],
    // One after another, because they measure, and each has as many processes as the machine has cores.
    fileParallelism: false,
    maxConcurrency: 1,
    testTimeout: 120_000,
    hookTimeout: 240_000,
  },
});
