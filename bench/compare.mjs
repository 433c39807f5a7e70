/**
 * CPU time of an exchange, compared with an earlier version of this package: the whole Nest app, 64 devices, 32 bytes. Over real
 * UDP, and in process, without the system's part. The versions share one process and take turns of some milliseconds, so other work
 * of the machine meets all of them. Each round has a new process.
 *
 *     npm run bench:compare -- --base before-safe
 *     npm run bench:compare -- --base v0.1.0 --rounds 40 --tcp --out bench-compare.json
 *     npm run bench:compare -- --base v0.1.0 --v2
 *     npm run bench:compare -- --base v0.1.0 --revision v0.2.0 --revision v0.3.0
 */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureInProcess, measureOverSockets } from './support/side-by-side.mjs';
import { MIN_INTERVAL_VALUES, median, medianInterval } from './support/statistics.mjs';
import { buildCheckout, buildRevision } from './support/versions.mjs';

const MAX_ROUNDS = 1000;
const MAX_SECONDS = 60;

const USAGE = `npm run bench:compare -- --base TAG_OR_COMMIT [--revision TAG_OR_COMMIT]… [--rounds N] [--seconds S] [--tcp] [--v2] [--out FILE]

  --base     the version to compare with
  --revision a version to measure beside the checkout; may be repeated
  --rounds   ${MIN_INTERVAL_VALUES} to ${MAX_ROUNDS}, default 21; more rounds make the interval narrower
  --seconds  of each version in a round, up to ${MAX_SECONDS}, default 2
  --tcp      also measure Nest's TCP transport in each round
  --v2       the boards speak protocol v2
  --out      write all figures to this file, as JSON`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      base: { type: 'string' },
      revision: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '21' },
      seconds: { type: 'string', default: '2' },
      tcp: { type: 'boolean', default: false },
      v2: { type: 'boolean', default: false },
      out: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (!values.base) {
    throw new Error('--base is missing');
  }
  if (!Number.isInteger(rounds) || rounds < MIN_INTERVAL_VALUES || rounds > MAX_ROUNDS) {
    throw new Error(`--rounds is a whole number from ${MIN_INTERVAL_VALUES} to ${MAX_ROUNDS}, not "${values.rounds}"`);
  }
  if (!(seconds > 0 && seconds <= MAX_SECONDS)) {
    throw new Error(`--seconds is a number above 0 and up to ${MAX_SECONDS}, not "${values.seconds}"`);
  }
  if (values.out !== undefined) {
    // An unwritable file must show now, not after minutes of measuring.
    appendFileSync(values.out, '');
  }
  return { ...values, base: values.base, rounds, seconds };
}

function readOptionsOrExit() {
  try {
    return readOptions();
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

const options = readOptionsOrExit();
const { rounds, seconds } = options;

/** @param {string} text */
function note(text) {
  process.stderr.write(`${text}\n`);
}

/**
 * Tells each round.
 *
 * @param {string} what
 * @returns {(shares: import('./support/side-by-side.mjs').Share[]) => void}
 */
function reporter(what) {
  let done = 0;
  return (shares) => {
    const times = shares.map(({ cpuMicroseconds }) => cpuMicroseconds.toFixed(1)).join(', ');
    note(`${what} ${++done}/${rounds}: ${times} µs`);
  };
}

/**
 * The row of one version, compared with the base.
 *
 * @param {import('./support/side-by-side.mjs').Share[][]} shares of all versions in each round, the base first
 * @param {number} index of the version
 */
function compare(shares, index) {
  const times = shares.map((round) => round[index].cpuMicroseconds);
  const ratios = times.map((time, round) => time / shares[round][0].cpuMicroseconds);
  return { microseconds: median(times), ratio: median(ratios), ...medianInterval(ratios), ratios };
}

/**
 * `undefined` if one of the versions can't be run so.
 *
 * @param {import('./support/rounds.mjs').Variant[]} variants
 */
async function tryInProcess(variants) {
  try {
    return await measureInProcess(variants, { rounds, seconds, onRound: reporter('in process') });
  } catch (error) {
    note(`The in-process comparison failed: ${messageOf(error)}`);
    return undefined;
  }
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {number} digits */
const fixed = (digits) => /** @param {number} value */ (value) => value.toFixed(digits);
const [micros, share] = [fixed(2), fixed(3)];

/**
 * @param {string} what
 * @param {import('./support/side-by-side.mjs').Share[][] | undefined} shares
 * @param {number} index
 */
function summarize(what, shares, index) {
  if (!shares?.[0]?.[index]) {
    return {};
  }
  const { microseconds, ratio, low, high } = compare(shares, index);
  return {
    [`${what}, µs`]: micros(microseconds),
    [`${what}, ratio`]: share(ratio),
    [`${what}, 95 %`]: index === 0 ? '' : `${share(low)} to ${share(high)}`,
  };
}

const folder = mkdtempSync(join(tmpdir(), 'ben-udp-compare-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => process.exit(1));
}

/** The base, the revisions and the checkout, each compiled. */
function buildOrExit() {
  const revisions = [options.base, ...options.revision];
  try {
    note(`Compiling ${revisions.join(', ')} and this checkout`);
    return [
      ...revisions.map((revision, index) => ({ revision, ...buildRevision(revision, join(folder, String(index))) })),
      { revision: 'this checkout', ...buildCheckout(join(folder, 'checkout')) },
    ];
  } catch (error) {
    note(messageOf(error));
    process.exit(1);
  }
}

const versions = buildOrExit();
const common = { dataBytes: 32, noreturn: false, keys: 1 };
const servers = versions.map(({ revision, commit, lib }) => ({
  ...common,
  kind: /** @type {'v2' | 'ben'} */ (options.v2 ? 'v2' : 'ben'),
  name: `${revision} (${commit})`,
  lib,
}));
const tcp = { ...common, kind: /** @type {const} */ ('tcp'), name: 'Nest TCP' };
const overUdp = options.tcp ? [...servers, tcp] : servers;
const began = performance.now();
const udp = await measureOverSockets(overUdp, { rounds, seconds, onRound: reporter('UDP') });
const inProcess = await tryInProcess(servers);
console.log(`CPU time of an exchange: medians of ${rounds} rounds, and of their ratios to ${options.base}`);
console.table(
  overUdp.map(({ name }, index) => ({
    version: name,
    ...summarize('UDP', udp, index),
    ...summarize('in process', inProcess, index),
  })),
);
if (options.out) {
  const result = {
    at: new Date().toISOString(),
    node: process.version,
    processor: cpus()[0]?.model,
    seconds,
    minutes: Math.round((performance.now() - began) / 6000) / 10,
    versions: overUdp.map(({ name }, index) => ({
      name,
      udp: compare(udp, index),
      ...(inProcess?.[0]?.[index] && { inProcess: compare(inProcess, index) }),
    })),
  };
  writeFileSync(options.out, `${JSON.stringify(result, undefined, 2)}\n`);
}
