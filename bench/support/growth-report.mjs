/**
 * The charts and the table of the growth curves, from the JSON of a run alone.
 */
import { CURVES, expectAll } from './growth-curves.mjs';
import { dot, figure, line, text } from './svg.mjs';
import { machineText, table } from './table.mjs';

const WIDTH = 300;
const HEIGHT = 190;
const LEFT = 52;
const RIGHT = 16;
const TOP = 58;
const BOTTOM = 34;
const MEASURED = '#e0234e';
const EXPECTED = '#9aa5b1';
const AXIS = '#52606d';

/**
 * @typedef {import('./growth-curves.mjs').Point} Point
 *
 * @typedef {object} GrowthResults of a run
 * @property {import('./machine.mjs').Machine & { load: number }} machine
 * @property {{ rounds: number, turns: number }} settings
 * @property {{ name: string, points: Point[] }[]} curves
 */

/**
 * @template {{ name: string }} T
 * @param {readonly T[]} curves
 * @param {string} name
 */
function curveOf(curves, name) {
  const curve = curves.find((each) => each.name === name);
  if (!curve) {
    throw new Error(`the run has no curve "${name}"`);
  }
  return curve;
}

/** Three digits, and no more. */
const short = (/** @type {number} */ value) => String(Number(value.toPrecision(3)));

/**
 * 50 000 and 32 k, as they are read aloud.
 *
 * @param {number} count
 */
function shortCount(count) {
  if (count >= 1024 && count % 1024 === 0) {
    return `${count / 1024} Ki`;
  }
  return count >= 1000 ? `${count / 1000} k` : String(count);
}

/**
 * One panel: the points and the expected line; x is logarithmic, y begins at 0.
 *
 * @param {readonly Point[]} points
 * @param {import('./growth-curves.mjs').Measure} measure
 * @param {number} left
 */
function drawPanel(points, measure, left) {
  const measured = points.map(measure.read);
  const expected = expectAll(points, measure);
  const highest = Math.max(...measured, ...expected, 1e-9);
  const [from, to] = [points[0].x, points[points.length - 1].x].map(Math.log);
  const xAt = (/** @type {number} */ x) => left + LEFT + ((Math.log(x) - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const yAt = (/** @type {number} */ y) => HEIGHT - BOTTOM - (Math.max(0, y) / highest) * (HEIGHT - TOP - BOTTOM);
  const place = (/** @type {readonly number[]} */ ys) =>
    points.map(({ x }, index) => ({ x: xAt(x), y: yAt(ys[index]) }));
  const axis = { color: AXIS };
  return [
    text(left + LEFT, TOP - 12, measure.title, { bold: true }),
    line(
      [
        { x: left + LEFT, y: yAt(0) },
        { x: left + WIDTH - RIGHT, y: yAt(0) },
      ],
      AXIS,
    ),
    text(left + LEFT - 6, yAt(0) + 4, '0', { anchor: 'end', ...axis }),
    text(left + LEFT - 6, yAt(highest) + 4, short(highest), { anchor: 'end', ...axis }),
    ...points.map(({ x }) => text(xAt(x), HEIGHT - BOTTOM + 16, shortCount(x), { anchor: 'middle', ...axis })),
    line(place(expected), EXPECTED, { dashed: true }),
    line(place(measured), MEASURED),
    ...place(measured).map(({ x, y }) => dot(x, y, MEASURED)),
  ];
}

/** A chart for each curve: CPU and memory side by side. */
export const GROWTH_CHARTS = Object.fromEntries(
  CURVES.map(({ name, title, measures }) => [
    `growth-${name}`,
    (/** @type {GrowthResults} */ { curves }) => {
      const { points } = curveOf(curves, name);
      const panels = measures.flatMap((measure, index) => drawPanel(points, measure, index * WIDTH));
      const heading = `An exchange by ${title} (measured; dashed: expected)`;
      return figure(WIDTH * measures.length, HEIGHT, [text(LEFT, 22, heading, { size: 14 }), ...panels]);
    },
  ]),
);

/**
 * The last point of each curve, because a curve that bends is furthest from its line there.
 *
 * @param {GrowthResults} results
 */
function growthTable({ curves }) {
  const rows = curves.flatMap(({ name, points }) =>
    curveOf(CURVES, name).measures.map((measure) => {
      const last = points[points.length - 1];
      const expected = expectAll(points, measure).at(-1) ?? NaN;
      const measured = measure.read(last);
      const from = `${points[0].x} to ${last.x} ${curveOf(CURVES, name).title}`;
      return { from, title: measure.title, first: measure.read(points[0]), measured, expected };
    }),
  );
  return table(
    [
      ['growth', ({ from }) => from, '---'],
      ['figure', ({ title }) => title, '---'],
      ['first', ({ first }) => short(first)],
      ['last', ({ measured }) => short(measured)],
      ['expected', ({ expected }) => short(expected)],
      ['last to expected', ({ measured, expected }) => (measured / expected).toFixed(2)],
    ],
    rows,
  );
}

/** @param {GrowthResults} results */
function headLine({ machine, settings: { rounds } }) {
  return `${machineText(machine)}; load average ${machine.load.toFixed(1)}; medians of ${rounds} rounds.`;
}

export const GROWTH_SECTIONS = { 'growth-run': headLine, 'growth-curves': growthTable };
