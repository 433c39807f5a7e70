/**
 * Feeds mutated inputs to everything that reads the bytes of a peer, and a whole app over real UDP. Needs the built package.
 *
 *     npm run test:fuzz -- [--seconds 10] [--inputs n] [--seed 1] [--target name] [--replay file-or-hex] [--keep] [--list]
 *
 * --seconds and --inputs are for each target, whichever comes first. A run follows from its seed and the files in corpus/. An
 * input that breaks a promise is printed, kept in failures/, and given to the target again by --replay; the exit code is 1
 * then. --keep adds what led to something new to corpus/.
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadBuiltPackage } from '../support/built-package.mjs';
import { APP, fuzzApp } from './app.mjs';
import { fuzz, nameOf, replay } from './fuzz.mjs';
import { TARGETS, createTarget } from './targets/index.mjs';

const NAMES = [...Object.keys(TARGETS), APP.name];

/** The smallest inputs that led to something new are kept, up to this number for each target and run. */
const MAX_KEPT = 40;

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    replay: { type: 'string' },
    keep: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});
if (options.target !== undefined && !NAMES.includes(options.target)) {
  fail(`no target "${options.target}"; there are ${NAMES.join(', ')}`);
}
const inputs = readCount('inputs', options.inputs, Infinity);
const limits = {
  inputs,
  seconds: readCount('seconds', options.seconds, inputs === Infinity ? 10 : Infinity),
  seed: readCount('seed', options.seed, 1),
};

const lib = await loadBuiltPackage();
if (options.list) {
  for (const name of NAMES) {
    console.log(`${name.padEnd(12)} ${name === APP.name ? APP.about : createTarget(name, lib, limits.seed).about}`);
  }
} else if (options.replay !== undefined) {
  const { target = APP.name } = options;
  await replayOne(target in TARGETS ? target : fail('--replay needs the --target, and not the app'), options.replay);
} else {
  await fuzzAll(options.target === undefined ? NAMES : [options.target]);
}
// An app that failed may have left sockets open.
process.exit();

/** @param {readonly string[]} names */
async function fuzzAll(names) {
  /** @type {Record<string, object>} */
  const rows = {};
  for (const name of names) {
    const report = name === APP.name ? await fuzzApp(lib, limits) : await fuzzTarget(name);
    rows[name] = {
      inputs: report.inputs,
      seconds: Number(report.seconds.toFixed(1)),
      'inputs/s': Math.round(report.inputs / report.seconds),
      'slowest ms': Number(report.slowestMs.toFixed(1)),
      'MiB at most': Number((report.largestBytes / 2 ** 20).toFixed(1)),
      outcomes: report.outcomes,
      breaches: report.breaches.length,
    };
    if (report.note) {
      console.log(`${name}: ${report.note}`);
    }
    for (const breach of report.breaches.slice(0, 3)) {
      tell(name, breach, report.inputs);
    }
    if (options.keep) {
      const smallest = report.interesting.toSorted((a, b) => a.length - b.length).slice(0, MAX_KEPT);
      smallest.forEach((input) => keep('corpus', name, input));
    }
  }
  console.table(rows);
  console.log(`seed ${limits.seed}`);
}

/** @param {string} name */
async function fuzzTarget(name) {
  const target = createTarget(name, lib, limits.seed);
  const report = await fuzz(target, readCorpus(name), limits);
  return { ...report, note: target.note?.() };
}

/**
 * @param {string} name
 * @param {import('./fuzz.mjs').Breach} breach
 * @param {number} count of inputs until then
 */
function tell(name, { input, reason }, count) {
  process.exitCode = 1;
  console.error(`BREACH, ${name}: ${reason}`);
  console.error(`  again, all: npm run test:fuzz -- --target ${name} --seed ${limits.seed} --inputs ${count}`);
  if (name !== APP.name) {
    const file = keep('failures', name, input);
    console.error(`  again, alone: npm run test:fuzz -- --target ${name} --seed ${limits.seed} --replay ${file}`);
    console.error(`  input: ${input.toString('hex')}`);
  }
}

/**
 * @param {string} name of the target
 * @param {string} source a file, or the input in hex
 */
async function replayOne(name, source) {
  const isHex = /^(?:[0-9a-f]{2})*$/i.test(source);
  const { breaches, slowestMs } = await replay(
    createTarget(name, lib, limits.seed),
    isHex ? Buffer.from(source, 'hex') : readFileSync(source),
  );
  console.log(breaches[0]?.reason ?? `no breach, ${slowestMs.toFixed(2)} ms`);
  process.exitCode = breaches.length === 0 ? 0 : 1;
}

/** @param {string} name */
function readCorpus(name) {
  const folder = new URL(`corpus/${name}/`, import.meta.url);
  return readdirSync(folder)
    .toSorted()
    .map((file) => readFileSync(new URL(file, folder)));
}

/**
 * @param {'corpus' | 'failures'} kind
 * @param {string} name of the target
 * @param {Buffer} input
 * @returns {string} the path of the file that the input is in now.
 */
function keep(kind, name, input) {
  const folder = new URL(`${kind}/${name}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(nameOf(input), folder);
  writeFileSync(file, input);
  return `test/fuzz/${kind}/${name}/${nameOf(input)}`;
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {number} fallback
 */
function readCount(name, text, fallback) {
  const count = text === undefined ? fallback : Number(text);
  return count > 0 ? count : fail(`--${name} is a number above 0`);
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  return process.exit(1);
}
