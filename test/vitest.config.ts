import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

// Tests and samples import the package by its name, and its layers as `#lib/…`: the source, or the build with BEN_TEST_DIST=1.
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
    // Only a hanging test takes this long. On a busy machine, others take many times as long as on an idle one.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.spec.ts', 'sample/**/*.spec.ts'],
          // The dependencies of samples 04 to 06 are their own: `npm run test:cores`, `test:fleet`, `test:dashboard`. Those in engines/
          // have servers, root, or another Node: `npm run test:engines`.
          exclude: ['**/node_modules/**', '**/*.slow.spec.ts', 'test/engines/**', 'sample/0[456]-*/**'],
        },
      },
      // They wait for real timeouts of boards, or try very much. Without them `npm test` takes less than three minutes.
      { extends: true, test: { name: 'slow', include: ['test/**/*.slow.spec.ts'] } },
    ],
    // Specs over real UDP mostly wait, so each core gets a worker. Vitest alone would leave one core to itself.
    maxWorkers: Math.max(2, availableParallelism()),
    maxConcurrency: 8,
  },
});
