/** The tested versions and formats, and the known limits. */

/**
 * @typedef {object} Nest a version of Nest
 * @property {string} name
 * @property {string} nest the range of its packages
 * @property {Record<string, string>} dependencies
 * @property {object} compilerOptions
 * @property {string[]} jestNodeOptions
 *
 * @typedef {object} Format a way to use the package
 * @property {string} name
 * @property {string} title
 * @property {string} type of the modules
 * @property {string[]} files in `templates`
 * @property {object} [compilerOptions]
 * @property {boolean} [checksDeclarations]
 * @property {string[]} [onlyNests]
 * @property {(nest: Nest) => string[]} command to run in the project
 * @property {(nest: Nest) => string[]} [control] the same without this package: if it fails too, the cause is elsewhere
 */

/** What all starters' tsconfigs have in common, with `strict`. */
const STARTER_OPTIONS = {
  strict: true,
  declaration: true,
  removeComments: true,
  emitDecoratorMetadata: true,
  experimentalDecorators: true,
  allowSyntheticDefaultImports: true,
  sourceMap: true,
  incremental: true,
  skipLibCheck: true,
  forceConsistentCasingInFileNames: true,
  outDir: './dist',
};

const NODENEXT_OPTIONS = {
  module: 'nodenext',
  moduleResolution: 'nodenext',
  resolvePackageJsonExports: true,
  esModuleInterop: true,
  isolatedModules: true,
  target: 'ES2023',
};

/**
 * Versions of Nest, each with dependencies and tsconfig as its starter has them (templates of `@nestjs/schematics`). Of the
 * lowest version everything that the types meet is the lowest too.
 *
 * @type {Nest[]}
 */
export const NESTS = [
  {
    name: '11.0',
    nest: '11.0.0',
    dependencies: {
      typescript: '5.7.3',
      '@types/node': '^22.10.7',
      jest: '^29.7.0',
      '@types/jest': '^29.5.14',
      'ts-jest': '^29.2.5',
    },
    compilerOptions: { ...STARTER_OPTIONS, module: 'commonjs', target: 'ES2021', baseUrl: './' },
    jestNodeOptions: [],
  },
  {
    name: '11.2',
    nest: '^11.2.0',
    dependencies: {
      typescript: '^5.7.3',
      '@types/node': '^24.0.0',
      jest: '^30.0.0',
      '@types/jest': '^30.0.0',
      'ts-jest': '^29.2.5',
    },
    compilerOptions: { ...STARTER_OPTIONS, ...NODENEXT_OPTIONS, baseUrl: './' },
    jestNodeOptions: [],
  },
  {
    name: '12',
    nest: '^12.0.1',
    dependencies: {
      typescript: '^6.0.2',
      '@types/node': '^24.0.0',
      jest: '^30.0.0',
      '@types/jest': '^30.0.0',
      'ts-jest': '^29.4.0',
      '@swc/core': '^1.10.7',
      '@swc/jest': '^0.2.39',
    },
    compilerOptions: { ...STARTER_OPTIONS, ...NODENEXT_OPTIONS, rootDir: '.', strictPropertyInitialization: false },
    jestNodeOptions: ['--experimental-vm-modules'],
  },
];

/** Dependencies of every project. */
export const DEPENDENCIES = { 'reflect-metadata': '^0.2.2', rxjs: '^7.8.1', vitest: '^4.1.2' };

/** Major versions of Node, or exact ones. */
export const NODES = ['20', '22', '24'];

const ESM = { module: 'nodenext', moduleResolution: 'nodenext' };

/** @type {Format[]} */
export const FORMATS = [
  {
    name: 'esm',
    title: 'ESM app',
    type: 'module',
    files: ['app.ts', 'main.ts'],
    compilerOptions: ESM,
    checksDeclarations: true,
    command: () => ['dist/main.js'],
  },
  {
    name: 'commonjs',
    title: 'CommonJS app',
    type: 'commonjs',
    files: ['app.ts', 'main.ts'],
    checksDeclarations: true,
    command: () => ['dist/main.js'],
  },
  {
    name: 'vitest',
    title: 'Vitest (ESM)',
    type: 'module',
    files: ['app.ts', 'vitest/app.spec.ts', 'vitest/vitest.config.ts'],
    compilerOptions: { ...ESM, noEmit: true, types: ['node', 'vitest/globals'] },
    command: () => ['../node_modules/vitest/vitest.mjs', 'run'],
  },
  {
    name: 'jest',
    title: 'Jest in CommonJS',
    type: 'commonjs',
    files: ['app.ts', 'jest/app.spec.ts', 'jest/board.spec.ts', 'jest/control.spec.ts', 'jest/jest.config.json'],
    compilerOptions: { noEmit: true, types: ['node', 'jest'] },
    command: ({ jestNodeOptions }) => [...jestNodeOptions, ...jest('app', 'board')],
    control: ({ jestNodeOptions }) => [...jestNodeOptions, ...jest('control')],
  },
  {
    name: 'jest-swc',
    title: 'Jest in CommonJS, `@swc/jest` for Nest',
    onlyNests: ['12'],
    type: 'commonjs',
    files: ['app.ts', 'jest/app.spec.ts', 'jest/board.spec.ts', 'jest-swc/jest.config.json'],
    compilerOptions: { noEmit: true, types: ['node', 'jest'] },
    command: () => jest('app', 'board'),
  },
  {
    name: 'two-copies',
    title: 'ESM and CommonJS in one process',
    type: 'module',
    files: ['two-copies/app.cts', 'two-copies/main.mts'],
    compilerOptions: ESM,
    command: () => ['dist/main.mjs'],
  },
];

/** Known limits, recognised by the output of Nest alone. */
export const LIMITS = [
  {
    format: 'jest',
    output: /Must use import to load ES Module: .*node_modules\/@nestjs\//,
    reason:
      'Jest can `require` Nest 12, which is ESM only, from Node 24.9 on, with `--experimental-vm-modules` as in the ' +
      'starter. Nest alone fails alike. Below that, let `@swc/jest` turn Nest into CommonJS (next row), or use Vitest.',
  },
];

/** What CI runs: the lowest and the highest of everything. */
export const SUBSET = [
  { nest: '11.0', nodes: ['20'] },
  { nest: '12', nodes: ['24'] },
];

/** @param {...string} names of specs */
function jest(...names) {
  return ['../node_modules/jest/bin/jest.js', '--config', 'jest.config.json', ...names.map((name) => `${name}.spec`)];
}
