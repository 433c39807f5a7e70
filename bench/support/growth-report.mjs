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

const curveOf = (name) =>
  /** @type {import('./growth-curves.mjs').Curve} */ (CURVES.find((curve) => curve.name === name));

/** Three digits, and no more. */
const short = (value) => String(Number(value.toPrecision(3)));

/** 50 000 and 32 k, as they are read aloud. */
function shortCount(count) {
  if (count >= 1024 && count % 1024 === 0) {
    return `${count / 1024} Ki`;
  }
  return count >= 1000 ? `${count / 1000} k` : String(count);
}

/** One panel: the points and the expected line; x is logarithmic, y begins at 0. */
function drawPanel(points, measure, left) {
  const measured = points.map(measure.read);
  const expected = expectAll(points, measure);
  const highest = Math.max(...measured, ...expected, 1e-9);
  const [from, to] = [points[0].x, points[points.length - 1].x].map(Math.log);
  const xAt = (x) => left + LEFT + ((Math.log(x) - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const yAt = (y) => HEIGHT - BOTTOM - (Math.max(0, y) / highest) * (HEIGHT - TOP - BOTTOM);
  const place = (ys) => points.map(({ x }, index) => ({ x: xAt(x), y: yAt(ys[index]) }));
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
    ({ curves }) => {
      const { points } = curves.find((curve) => curve.name === name);
      const panels = measures.flatMap((measure, index) => drawPanel(points, measure, index * WIDTH));
      const heading = `An exchange by ${title} (measured; dashed: expected)`;
      return figure(WIDTH * measures.length, HEIGHT, [text(LEFT, 22, heading, { size: 14 }), ...panels]);
    },
  ]),
);

/** The last point of each curve, because a curve that bends is furthest from its line there. */
function growthTable({ curves }) {
  const rows = curves.flatMap(({ name, points }) =>
    curveOf(name).measures.map((measure) => {
      const expected = expectAll(points, measure).at(-1) ?? NaN;
      const measured = measure.read(points.at(-1));
      const from = `${points[0].x} to ${points.at(-1).x} ${curveOf(name).title}`;
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

function headLine({ machine, settings: { rounds } }) {
  return `${machineText(machine)}; load average ${machine.load.toFixed(1)}; medians of ${rounds} rounds.`;
}

export const GROWTH_SECTIONS = { 'growth-run': headLine, 'growth-curves': growthTable };
