import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

// Tests and samples import the package by its name. By default that is the source; with BEN_TEST_DIST=1 it is what was built.
const alias: Record<string, string> = process.env['BEN_TEST_DIST']
  ? {}
  : {
      'nestjs-ben-udp/testing': `${root}lib/testing/index.ts`,
      'nestjs-ben-udp/cli': `${root}lib/cli/index.ts`,
      'nestjs-ben-udp': `${root}lib/index.ts`,
    };

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    include: ['test/**/*.spec.ts', 'sample/**/*.spec.ts'],
    testTimeout: 20_000,
  },
});
