import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

// Tests and samples import the package by its name, and its layers as `#lib/…`. By default that is the source; with BEN_TEST_DIST=1
// it is what was built.
const alias = process.env['BEN_TEST_DIST']
  ? []
  : [
      { find: /^#lib\/(.*)\.js$/, replacement: `${root}lib/$1.ts` },
      { find: 'nestjs-ben-udp/testing', replacement: `${root}lib/testing/index.ts` },
      { find: 'nestjs-ben-udp', replacement: `${root}lib/index.ts` },
    ];

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    include: ['test/**/*.spec.ts', 'sample/**/*.spec.ts'],
    testTimeout: 20_000,
  },
});
