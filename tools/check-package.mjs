/**
 * Checks the package as npm would publish it: its files, what its types import, and what every kind of resolution finds.
 * `--tarball <path>` checks one that is there already.
 */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import ts from 'typescript';
import { packInto, root } from './support/pack.mjs';
import { mustRun, run } from './support/run.mjs';

const REQUIRED_FILES = [
  'LICENSE',
  'README.md',
  'package.json',
  'sample/device/benclient.py',
  'device/ben2.py',
  'device/package.json',
];

/** What else is published: the two builds, and the sources that their source maps name. */
const BUILT_FILE = /^dist\/(esm|cjs)\/(.+\.(js|js\.map|d\.ts))$/;
const COMMONJS_MARK = 'dist/cjs/package.json';

/** What public types may import: all that is there wherever this package is. */
const TYPES_MAY_IMPORT = /^(node:[\w/]+|@nestjs\/(common|core|microservices)|rxjs)$/;

/** @typedef {{ exports: object, dependencies?: object }} Manifest */

/**
 * Files that should not be published, or should and are not.
 *
 * @param {string[]} files
 * @param {string} folder
 */
async function checkFiles(files, folder) {
  const sources = await readMappedSources(files, folder);
  const expected = (/** @type {string} */ file) =>
    REQUIRED_FILES.includes(file) || file === COMMONJS_MARK || BUILT_FILE.test(file) || sources.has(file);
  const missing = [...REQUIRED_FILES, COMMONJS_MARK, ...sources].filter((file) => !files.includes(file));
  return [
    ...files.filter((file) => !expected(file)).map((file) => `${file} should not be published`),
    ...missing.map((file) => `${file} is missing`),
    ...checkTwins(files),
  ];
}

/**
 * Both formats have the same modules, or one of them is an old build.
 *
 * @param {string[]} files
 */
function checkTwins(files) {
  const modulesOf = (/** @type {string} */ format) =>
    new Set(files.map((file) => BUILT_FILE.exec(file)).flatMap((match) => (match?.[1] === format ? [match[2]] : [])));
  const [esm, cjs] = [modulesOf('esm'), modulesOf('cjs')];
  return [
    ...[...esm].filter((file) => !cjs.has(file)).map((file) => `dist/cjs/${file} is missing, dist/esm has it`),
    ...[...cjs].filter((file) => !esm.has(file)).map((file) => `dist/esm/${file} is missing, dist/cjs has it`),
  ];
}

/**
 * @param {string[]} files
 * @param {string} folder
 */
async function readMappedSources(files, folder) {
  /** @type {Set<string>} */
  const sources = new Set();
  for (const file of files.filter((name) => name.endsWith('.js.map'))) {
    const map = JSON.parse(await readFile(join(folder, file), 'utf8'));
    for (const source of map.sources) {
      sources.add(posix.join(posix.dirname(file), source));
    }
  }
  return sources;
}

/**
 * Follows the types of every entry point and names imports that users may not have.
 *
 * @param {Manifest} manifest
 * @param {string} folder
 */
async function checkTypes(manifest, folder) {
  /** @type {string[]} */
  const problems = [];
  const toRead = Object.values(manifest.exports).flatMap(typesOf);
  const seen = new Set(toRead);
  for (const file of toRead) {
    const { importedFiles, typeReferenceDirectives } = ts.preProcessFile(await readFile(join(folder, file), 'utf8'));
    for (const { fileName } of importedFiles) {
      if (!fileName.startsWith('.')) {
        if (!TYPES_MAY_IMPORT.test(fileName)) {
          problems.push(`${file} imports types of ${fileName}`);
        }
        continue;
      }
      const next = posix.join(posix.dirname(file), fileName.replace(/\.js$/, '.d.ts'));
      if (!seen.has(next)) {
        seen.add(next);
        toRead.push(next);
      }
    }
    problems.push(
      ...typeReferenceDirectives
        .filter(({ fileName }) => fileName !== 'node')
        .map(({ fileName }) => `${file} refers to the types of ${fileName}`),
    );
  }
  console.log(`types: ${seen.size} files follow from the entry points`);
  return problems;
}

/**
 * Every `types` under a subpath of `exports`.
 *
 * @param {unknown} target
 * @returns {string[]}
 */
function typesOf(target) {
  if (typeof target !== 'object' || target === null) {
    return [];
  }
  return Object.entries(target).flatMap(([condition, value]) =>
    condition === 'types' ? [posix.normalize(value)] : typesOf(value),
  );
}

/**
 * @param {string} tarball
 * @param {Manifest} manifest
 */
async function checkWithPublint(tarball, manifest) {
  const { buffer, byteOffset, byteLength } = await readFile(tarball);
  const { messages } = await publint({
    pack: { tarball: buffer.slice(byteOffset, byteOffset + byteLength) },
    level: 'suggestion',
    strict: true,
  });
  console.log(`publint: ${messages.length} findings`);
  return messages.map((message) => `publint: ${formatMessage(message, manifest)}`);
}

/** @param {string} tarball */
async function checkWithAttw(tarball) {
  const attw = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js');
  const { ok, output } = await run(process.execPath, [attw, tarball, '--format', 'table', '--no-color', '--no-emoji']);
  console.log(output.trim());
  return ok ? [] : ['attw: see its table above'];
}

/** @param {string} folder */
async function listFiles(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted();
}

/**
 * @param {string} tarball
 * @param {string} temporary folder
 */
async function check(tarball, temporary) {
  await mustRun('tar', ['-xzf', tarball, '-C', temporary]);
  const folder = join(temporary, 'package');
  const files = await listFiles(folder);
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  console.log(`files: ${files.length} in ${dirname(tarball) === temporary ? 'a new tarball' : tarball}`);
  return [
    ...(await checkFiles(files, folder)),
    ...(Object.keys(manifest.dependencies ?? {}).length > 0 ? ['package.json names runtime dependencies'] : []),
    ...(await checkTypes(manifest, folder)),
    ...(await checkWithPublint(tarball, manifest)),
    ...(await checkWithAttw(tarball)),
  ];
}

const { values: options } = parseArgs({ options: { tarball: { type: 'string' } } });
const temporary = await mkdtemp(join(tmpdir(), 'nestjs-ben-udp-package-'));
try {
  const tarball = options.tarball ? resolve(options.tarball) : await packInto(temporary);
  const problems = await check(tarball, temporary);
  if (problems.length > 0) {
    console.error(`\nThe package is not fit to be published:\n${problems.map((each) => `- ${each}`).join('\n')}`);
    process.exitCode = 1;
  } else {
    console.log('\nThe package is fit to be published.');
  }
} finally {
  await rm(temporary, { recursive: true });
}
