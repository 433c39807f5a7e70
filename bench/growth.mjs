/**
 * Draws how CPU and memory of an exchange grow with devices, keys, data and processes, each curve with its expected line. Measures the
 * server's part without a socket, so that the system does not blur it.
 *
 *     npm run bench:growth
 *     npm run bench:growth -- --save
 *     npm run bench:growth -- --curves keys,data --rounds 1
 *
 * Each round starts new processes and measures all points, so other work of the machine meets all of them. `--save` writes
 * docs/growth.json, and from it the charts and the table of docs/performance.md.
 */
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Child } from './support/child.mjs';
import { CURVES } from './support/growth-curves.mjs';
import { describeMachine } from './support/machine.mjs';
import { savePage } from './support/save.mjs';
import { medianRecord } from './support/statistics.mjs';

/**
 * @typedef {import('./support/growth-curves.mjs').GrowthOptions} GrowthOptions
 * @typedef {Omit<import('./support/growth-curves.mjs').Point, 'x'>} Figures of a point
 */

const { values } = parseArgs({
  options: {
    curves: { type: 'string', default: CURVES.map(({ name }) => name).join(',') },
    rounds: { type: 'string', default: '5' },
    turns: { type: 'string', default: '15' },
    out: { type: 'string', default: 'bench-growth.json' },
    save: { type: 'boolean', default: false },
  },
});

/**
 * The processes of a point work at the same time, each on a core of its own as far as there are cores.
 *
 * @param {GrowthOptions} options
 * @param {number} turns
 * @returns {Promise<Figures>}
 */
async function measurePoint({ processes = 1, ...options }, turns) {
  /** @type {Child<import('./support/growth-point.mjs').GrowthPointFunctions>[]} */
  const children = Array.from(
    { length: processes },
    (_, core) => new Child('growth-point', { core, execArgv: ['--expose-gc'] }),
  );
  try {
    const started = await Promise.all(children.map((child) => child.ask('start', options)));
    const ran = await Promise.all(children.map((child) => child.ask('run', { turns })));
    return {
      cpuMicroseconds: medianRecord(ran).cpuMicroseconds,
      heapBytes: sum(started.map(({ heapBytes }) => heapBytes)),
      rssMiB: sum(ran.map(({ rssMiB }) => rssMiB)),
    };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/**
 * @param {readonly import('./support/growth-curves.mjs').Curve[]} curves
 * @param {{ rounds: number, turns: number }} settings
 */
async function measureCurves(curves, { rounds, turns }) {
  /** @type {{ name: string, x: number, options: GrowthOptions, seen: Figures[] }[]} */
  const points = curves.flatMap(({ name, values: xs, optionsAt }) =>
    xs.map((x) => ({ name, x, options: optionsAt(x), seen: [] })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { name, x, options, seen } of round % 2 === 0 ? points : points.toReversed()) {
      const figures = await measurePoint(options, turns);
      seen.push(figures);
      process.stderr.write(
        `${name} ${x}: ${figures.cpuMicroseconds.toFixed(1)} µs, ${Math.round(figures.heapBytes / 1024)} KiB\n`,
      );
    }
  }
  return points;
}

const settings = { rounds: Number(values.rounds), turns: Number(values.turns) };
const names = values.curves.split(',');
const curves = CURVES.filter(({ name }) => names.includes(name));
if (curves.length < names.length) {
  console.error(`--curves: expected some of ${CURVES.map(({ name }) => name).join(', ')}, got "${values.curves}"`);
  process.exit(2);
}
const points = await measureCurves(curves, settings);
const results = {
  machine: { ...describeMachine(), load: loadavg()[0] },
  settings,
  curves: curves.map(({ name }) => ({
    name,
    points: points.filter((point) => point.name === name).map(({ x, seen }) => ({ x, ...medianRecord(seen) })),
  })),
};
const round = (/** @type {string} */ _key, /** @type {unknown} */ value) =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
const json = `${JSON.stringify(results, round, 2)}\n`;
if (values.save) {
  await savePage('growth', JSON.parse(json));
} else {
  writeFileSync(values.out, json);
}
