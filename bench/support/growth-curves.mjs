/**
 * The curves of `bench:growth`: the parameter that grows, its steps, and the expected CPU and memory.
 */

const DEVICES = 64;

/**
 * @typedef {{ x: number, cpuMicroseconds: number, heapBytes: number, rssMiB: number }} Point of a curve
 * @typedef {import('./steps.mjs').StepsOptions & { processes?: number }} GrowthOptions
 *
 * @typedef {object} Measure a figure of the points of a curve, which is drawn
 * @property {string} title
 * @property {(point: Point) => number} read
 * @property {'flat' | 'proportional' | number} expected `flat`: as the first point. `proportional`: the first point times x. A number: the
 * straight line from the first point through the point of this x
 *
 * @typedef {object} Curve
 * @property {string} name
 * @property {string} title
 * @property {number[]} values
 * @property {(x: number) => GrowthOptions} optionsAt
 * @property {Measure[]} measures
 */

/** @type {(expected: Measure['expected']) => Measure} */
const cpu = (expected) => ({ title: 'CPU, µs', read: ({ cpuMicroseconds }) => cpuMicroseconds, expected });
/** @type {(expected: Measure['expected']) => Measure} */
const heap = (expected) => ({ title: 'Heap, MiB', read: ({ heapBytes }) => heapBytes / 2 ** 20, expected });
/** @type {(expected: Measure['expected']) => Measure} */
const rss = (expected) => ({ title: 'RSS, MiB', read: ({ rssMiB }) => rssMiB, expected });

/** @type {Curve[]} */
export const CURVES = [
  {
    name: 'devices',
    title: 'known devices',
    values: [1, 10, 100, 1000, 10_000, 50_000],
    optionsAt: (boards) => ({ boards }),
    measures: [cpu('flat'), heap(1000)],
  },
  {
    name: 'keys',
    title: 'keys',
    values: [1, 10, 100, 1000, 10_000, 100_000],
    optionsAt: (keys) => ({ boards: DEVICES, keys }),
    measures: [cpu('flat'), heap(1000)],
  },
  {
    name: 'data',
    title: 'bytes of data, echoed',
    values: [16, 64, 256, 1024, 4096, 16_384],
    optionsAt: (dataBytes) => ({ boards: DEVICES, dataBytes }),
    measures: [cpu(1024), rss('flat')],
  },
  {
    // A request can't be as long: as Python text, it would not fit into a datagram.
    name: 'reply',
    title: 'bytes of data, in the reply',
    values: [16, 64, 256, 1024, 4096, 16_384, 32_768],
    optionsAt: (replyBytes) => ({ boards: DEVICES, replyBytes }),
    measures: [cpu(1024), rss('flat')],
  },
  {
    name: 'workers',
    title: 'processes, each with a port',
    values: [1, 2],
    optionsAt: (processes) => ({ boards: DEVICES, processes }),
    measures: [cpu('flat'), rss('proportional')],
  },
];

/**
 * The expected figure at each point, from the first ones.
 *
 * @param {readonly Point[]} points
 * @param {Measure} measure
 * @returns {number[]}
 */
export function expectAll(points, { read, expected }) {
  const [first] = points;
  if (expected === 'flat') {
    return points.map(() => read(first));
  }
  if (expected === 'proportional') {
    return points.map(({ x }) => (read(first) * x) / first.x);
  }
  const other = points.find(({ x }) => x === expected);
  if (!other) {
    throw new Error(`the run has no point at ${expected}`);
  }
  const slope = (read(other) - read(first)) / (other.x - first.x);
  return points.map(({ x }) => read(first) + slope * (x - first.x));
}
