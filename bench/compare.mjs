/**
 * CPU time of an exchange, compared with an earlier version of this package: the whole Nest app, 64 devices, 32 bytes. Over real
 * UDP, and in process, without the system's part. Both versions are measured in each round (A B, B A, …), with new processes. The
 * ratio of a round does not see other work of the machine that lasts longer than a round.
 *
 *     npm run bench:compare -- --base before-safe
 *     npm run bench:compare -- --base v0.1.0 --rounds 40 --tcp --out bench-compare.json
 */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measure, measureInProcess, sliceName } from './support/rounds.mjs';
import { MIN_INTERVAL_VALUES, median, medianInterval } from './support/statistics.mjs';
import { buildCheckout, buildRevision } from './support/versions.mjs';

const BUSY = { peers: 64, inFlight: 64 };
const MAX_ROUNDS = 1000;
const MAX_SECONDS = 60;

const USAGE = `npm run bench:compare -- --base TAG_OR_COMMIT [--rounds N] [--seconds S] [--tcp] [--out FILE]

  --base     the version to compare with
  --rounds   ${MIN_INTERVAL_VALUES} to ${MAX_ROUNDS}, default 21; more rounds make the interval narrower
  --seconds  of each measurement, up to ${MAX_SECONDS}, default 2
  --tcp      also measure Nest's TCP transport in each round
  --out      write all figures to this file, as JSON`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      base: { type: 'string' },
      rounds: { type: 'string', default: '21' },
      seconds: { type: 'string', default: '2' },
      tcp: { type: 'boolean', default: false },
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

function note(text) {
  process.stderr.write(`${text}\n`);
}

/** Tells each measurement. A round has as many as there are variants. */
function reporter(what, variants) {
  let done = 0;
  const all = rounds * variants.length;
  return (name, { cpuMicroseconds, waitedShare }) => {
    done++;
    const taken = Math.round(waitedShare * 100);
    note(`${what} ${done}/${all}, ${name}: ${cpuMicroseconds.toFixed(2)} µs, ${taken} % of the core taken by others`);
  };
}

/** The rounds of two variants side by side, and the ratio with its interval. */
function compare(bases, currents) {
  const rows = bases.map((base, round) => ({
    base: base.cpuMicroseconds,
    current: currents[round].cpuMicroseconds,
    ratio: currents[round].cpuMicroseconds / base.cpuMicroseconds,
    takenByOthers: Math.max(base.waitedShare, currents[round].waitedShare),
  }));
  const ratios = rows.map(({ ratio }) => ratio);
  return {
    baseMicroseconds: median(rows.map(({ base }) => base)),
    currentMicroseconds: median(rows.map(({ current }) => current)),
    ratio: median(ratios),
    ...medianInterval(ratios),
    rounds: rows,
  };
}

async function compareOverUdp(base, current) {
  const tcp = { ...current, kind: 'tcp', name: 'Nest TCP' };
  const variants = options.tcp ? [base, current, tcp] : [base, current];
  const report = reporter('UDP', variants);
  const onSlice = (name, _peers, slice) => report(name, slice);
  const slices = await measure(variants, [BUSY], { rounds, seconds, onSlice });
  const [bases, currents, tcps] = variants.map((variant) => slices.get(sliceName(variant, BUSY)));
  const tcpMicroseconds = tcps && median(tcps.map(({ cpuMicroseconds }) => cpuMicroseconds));
  return { ...compare(bases, currents), tcpMicroseconds };
}

/** `undefined` if one of the versions can't be run so. */
async function compareInProcess(base, current) {
  const variants = [base, current];
  try {
    const slices = await measureInProcess(variants, { rounds, seconds, onSlice: reporter('in process', variants) });
    return compare(...variants.map(({ name }) => slices.get(name)));
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

function printRounds(what, { rounds: rows }) {
  console.log(`\n${what}, each round:`);
  console.table(
    rows.map(({ base, current, ratio, takenByOthers }) => ({
      'base µs': micros(base),
      'current µs': micros(current),
      'current / base': share(ratio),
      'taken by others': `${Math.round(takenByOthers * 100)} %`,
    })),
  );
}

/**
 * @param {string} what
 * @param {ReturnType<typeof compare> & { tcpMicroseconds?: number }} comparison
 */
function summarize(what, { baseMicroseconds, currentMicroseconds, tcpMicroseconds, ratio, low, high }) {
  return {
    '': what,
    'base µs': micros(baseMicroseconds),
    'current µs': micros(currentMicroseconds),
    'current / base': share(ratio),
    '95 % interval': `${share(low)} to ${share(high)}`,
    ...(tcpMicroseconds && { 'Nest TCP µs': micros(tcpMicroseconds) }),
  };
}

const folder = mkdtempSync(join(tmpdir(), 'ben-udp-compare-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => process.exit(1));
}

/** @param {string} revision */
function buildOrExit(revision) {
  try {
    note(`Compiling ${revision} and this checkout`);
    return { base: buildRevision(revision, join(folder, 'base')), current: buildCheckout(join(folder, 'current')) };
  } catch (error) {
    note(messageOf(error));
    process.exit(1);
  }
}

const versions = buildOrExit(options.base);
const common = { kind: /** @type {const} */ ('ben'), dataBytes: 32, noreturn: false, keys: 1 };
const base = { ...common, name: `base ${versions.base.commit}`, lib: versions.base.lib };
const current = { ...common, name: `current ${versions.current.commit}`, lib: versions.current.lib };
const began = performance.now();
const udp = await compareOverUdp(base, current);
const inProcess = await compareInProcess(base, current);
/** @type {[string, ReturnType<typeof compare> & { tcpMicroseconds?: number }][]} */
const measured = [['over UDP', udp]];
if (inProcess) {
  measured.push(['in process', inProcess]);
}
for (const [what, comparison] of measured) {
  printRounds(what, comparison);
}
console.log('\nCPU time of an exchange, medians of the rounds:');
console.table(measured.map(([what, comparison]) => summarize(what, comparison)));
if (options.out) {
  const result = {
    base: { revision: options.base, commit: versions.base.commit },
    current: { commit: versions.current.commit },
    at: new Date().toISOString(),
    node: process.version,
    processor: cpus()[0]?.model,
    seconds,
    minutes: Math.round((performance.now() - began) / 6000) / 10,
    udp,
    inProcess,
  };
  writeFileSync(options.out, `${JSON.stringify(result, undefined, 2)}\n`);
}
