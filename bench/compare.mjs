/**
 * CPU time of an exchange, compared with an earlier version of this package: the whole Nest app, 64 devices, 32 bytes, real UDP.
 * Both versions are measured in each round, in turns, with new processes; the ratio of a round does not see what else the
 * machine does in the meantime.
 *
 *     npm run bench:compare -- --base before-safe
 *     npm run bench:compare -- --base v0.1.0 --rounds 40 --out bench-compare.json
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { measure, sliceName } from './support/rounds.mjs';
import { median, medianInterval } from './support/statistics.mjs';

const { values } = parseArgs({
  options: {
    base: { type: 'string', default: 'before-safe' },
    rounds: { type: 'string', default: '21' },
    seconds: { type: 'string', default: '2' },
    out: { type: 'string' },
  },
});

const root = fileURLToPath(new URL('..', import.meta.url));
const BUSY = { peers: 64, inFlight: 64 };

/** Compiles the library of a commit into a folder from which it finds this checkout's packages. */
function buildBase(base) {
  const commit = execFileSync('git', ['rev-parse', '--short', `${base}^{commit}`], {
    cwd: root,
    encoding: 'utf8',
  }).trim();
  const folder = join(root, 'node_modules', '.cache', 'bench-compare', commit);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const sources = execFileSync('git', ['archive', commit, 'lib', 'package.json', 'tsconfig.json'], {
    cwd: root,
    maxBuffer: 2 ** 28,
  });
  execFileSync('tar', ['-x', '-C', folder], { input: sources });
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // Types of Node are looked up from the folder; a version of long ago need not pass today's checks.
  execFileSync(process.execPath, [compiler, '-p', 'lib/tsconfig.json', '--noCheck'], { cwd: folder, stdio: 'inherit' });
  return { commit, lib: pathToFileURL(join(folder, 'dist', 'esm', 'index.js')).href };
}

const { commit, lib } = buildBase(values.base);
const common = { kind: 'ben', dataBytes: 32, noreturn: false, keys: 1 };
const base = { ...common, name: `base (${values.base}, ${commit})`, lib };
const current = { ...common, name: 'current' };
const tcp = { ...common, kind: 'tcp', name: 'Nest TCP' };
let done = 0;
const slices = await measure([base, current, tcp], [BUSY], {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  onSlice: (name, _peers, { cpuMicroseconds }) => {
    done++;
    process.stderr.write(`${done}/${Number(values.rounds) * 3} ${name}: ${cpuMicroseconds.toFixed(1)} µs\n`);
  },
});

const cpu = (variant) => slices.get(sliceName(variant, BUSY)).map(({ cpuMicroseconds }) => cpuMicroseconds);
const ratios = cpu(current).map((value, round) => value / cpu(base)[round]);
const { low, high } = medianInterval(ratios);
const result = {
  base: values.base,
  commit,
  node: process.version,
  rounds: ratios.length,
  baseMicroseconds: median(cpu(base)),
  currentMicroseconds: median(cpu(current)),
  tcpMicroseconds: median(cpu(tcp)),
  ratio: median(ratios),
  ratioLow: low,
  ratioHigh: high,
};
console.table([
  {
    'base µs': result.baseMicroseconds.toFixed(1),
    'current µs': result.currentMicroseconds.toFixed(1),
    'Nest TCP µs': result.tcpMicroseconds.toFixed(1),
    'current / base': result.ratio.toFixed(3),
    '95 % interval': `${low.toFixed(3)} to ${high.toFixed(3)}`,
  },
]);
if (values.out) {
  writeFileSync(values.out, `${JSON.stringify(result, undefined, 2)}\n`);
}
