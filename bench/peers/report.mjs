/**
 * The tables and the chart of the comparison with other transports, from the JSON of a run alone.
 */
import { bar, figure, text } from '../support/svg.mjs';
import { machineText, table, toFixed } from '../support/table.mjs';

/**
 * @typedef {object} Comparison with the first peer, if that was measured too
 * @property {number} devices
 * @property {number | undefined} [cpuToBase]
 * @property {number | undefined} [p50ToBase]
 *
 * @typedef {import('../support/rounds.mjs').Slice & Comparison} PeerLoad
 *
 * @typedef {object} PeerFigures
 * @property {string} name
 * @property {string} over
 * @property {string} protects
 * @property {PeerLoad[]} loads
 * @property {import('./field.mjs').FieldFigures | undefined} field
 *
 * @typedef {object} PeerSettings
 * @property {number[]} devices
 * @property {number} rounds
 * @property {number} seconds
 * @property {number} fieldDevices
 * @property {number} fieldExchanges
 *
 * @typedef {object} PeerResults of a run
 * @property {import('../support/machine.mjs').Machine & { load: number }} machine
 * @property {PeerSettings & { roundTripMs: number, loss: number }} settings
 * @property {string | undefined} [obstacle] why there were no namespaces
 * @property {{ devices: number, exchanges: number } | undefined} [upstreamsEnd]
 * @property {PeerFigures[]} peers
 */

const MISSING = '–';

/** The load that stands for all others if one figure has to. */
const TYPICAL_DEVICES = 64;

const percent = (/** @type {number} */ share) => `${Math.round(share * 100)} %`;

/**
 * The load of that size, or the largest one that the server bears.
 *
 * @param {PeerFigures} peer
 * @param {number} devices
 */
function at({ loads }, devices) {
  return loads.find((load) => load.devices === devices) ?? loads[loads.length - 1];
}

/** @param {PeerResults} results */
function loadTable({ peers, settings: { devices } }) {
  /** @type {import('../support/table.mjs').Column<PeerFigures>[]} */
  const latencies = devices.map((count) => [
    `p50 and p99 of ${count}, ms`,
    ({ loads }) => {
      const load = loads.find((one) => one.devices === count);
      if (!load) {
        return MISSING;
      }
      const isWaiting = load.waiting > 0 ? `; ${Math.round(load.waiting)} wait` : '';
      return `${toFixed(load.p50, 2)}, ${toFixed(load.p99, 2)}${isWaiting}`;
    },
  ]);
  return table(
    [
      ['server', ({ name }) => name, '---'],
      ['devices', (peer) => at(peer, TYPICAL_DEVICES).devices],
      ['CPU, µs', (peer) => toFixed(at(peer, TYPICAL_DEVICES).cpuMicroseconds, 1)],
      ['to v1', (peer) => toFixed(at(peer, TYPICAL_DEVICES).cpuToBase, 2)],
      ["broker's part", (peer) => toBrokersPart(at(peer, TYPICAL_DEVICES))],
      ...latencies,
      ['RSS, MiB', (peer) => Math.round(at(peer, Infinity).rssMiB)],
    ],
    peers,
  );
}

/** @param {PeerLoad} load */
function toBrokersPart({ helpersShare }) {
  return helpersShare > 0 ? percent(helpersShare) : '';
}

/** @param {PeerResults} results */
function wireTable({ peers }) {
  /** @param {(way: import('./field.mjs').WayFigures) => number} read */
  const pair = (read) => (/** @type {PeerFigures} */ peer) =>
    peer.field ? `${read(peer.field.first)}, ${read(peer.field.further)}` : MISSING;
  return table(
    [
      ['first answer, further ones', ({ name }) => name, '---'],
      ['protects', ({ protects }) => protects, '---'],
      ['round trips', pair(({ roundTrips }) => roundTrips)],
      ['packets', pair(({ packets }) => Math.round(packets))],
      ['bytes', pair(({ bytes }) => Math.round(bytes))],
      ['ms', pair(({ ms }) => Math.round(ms))],
    ],
    peers,
  );
}

/** @param {PeerResults} results */
function lossTable({ peers }) {
  const read = (/** @type {'p50' | 'p99' | 'longest'} */ name) => (/** @type {PeerFigures} */ peer) =>
    peer.field && !peer.field.lossy.hasServerEnded ? Math.round(peer.field.lossy[name]) : MISSING;
  return table(
    [
      ['with loss', ({ name }) => name, '---'],
      ['p50, ms', read('p50')],
      ['p99, ms', read('p99')],
      ['longest, ms', read('longest')],
      ['answers', ({ field }) => (field ? toAnswers(field.lossy) : MISSING)],
    ],
    peers,
  );
}

/** @param {import('./field.mjs').FieldFigures['lossy']} lossy */
function toAnswers({ answers, hasServerEnded }) {
  return hasServerEnded ? `${answers}, then the server had ended` : answers;
}

/** @param {PeerResults} results */
function headLine({ machine, settings, obstacle, upstreamsEnd }) {
  const { rounds, seconds, roundTripMs, loss } = settings;
  return [
    `${machineText(machine)}; load average ${machine.load.toFixed(1)}; medians of ${rounds} rounds of ${seconds} s. The slow network has a ` +
      `round trip of ${roundTripMs} ms and, in the last table, loses ${percent(loss)} of the packets of each direction.`,
    obstacle && `**TCP is missing there**, because namespaces could not be made: ${obstacle}.`,
    upstreamsEnd &&
      `Upstream's server takes one board at a time: with ${upstreamsEnd.devices} at once it ended after ${upstreamsEnd.exchanges} exchanges.`,
    '![CPU, bytes, first answer and p99 with loss, by transport](peers.svg)',
  ]
    .filter(Boolean)
    .join('\n\n');
}

export const PEER_SECTIONS = {
  'peers-run': headLine,
  'peers-load': loadTable,
  'peers-wire': wireTable,
  'peers-loss': lossTable,
};

const ROW = 22;
const TOP = 58;
const LABELS = 160;
const COLUMN = 150;
const BAR = 90;
const OURS = '#e0234e';
const OTHERS = '#9aa5b1';

/** @type {readonly { title: string, read: (peer: PeerFigures) => number | undefined }[]} */
const COLUMNS = [
  { title: 'Server CPU, µs', read: (peer) => at(peer, TYPICAL_DEVICES).cpuMicroseconds },
  { title: 'Bytes, not the first', read: ({ field }) => field?.further.bytes },
  { title: 'First answer, ms', read: ({ field }) => field?.first.ms },
  {
    title: 'p99 with loss, ms',
    read: ({ field }) => (field?.lossy.hasServerEnded ? undefined : field?.lossy.p99),
  },
];

/**
 * A row for each peer, a column for each figure, all bars from the left: short is good.
 *
 * @param {PeerResults} results
 */
export function drawPeers({ peers }) {
  const cells = COLUMNS.flatMap(({ title, read }, column) => {
    const x = LABELS + column * COLUMN;
    const longest = Math.max(...peers.map((peer) => read(peer) ?? 0));
    return [
      text(x, TOP - 12, title, { bold: true }),
      ...peers.flatMap((peer, row) => {
        const value = read(peer);
        const width = ((value ?? 0) / longest) * BAR;
        const y = TOP + row * ROW;
        const color = peer.name.startsWith('BenUdp') ? OURS : OTHERS;
        const label = value === undefined ? MISSING : String(Math.round(value));
        return [bar(x, y, width, ROW - 7, color), text(x + width + 4, y + 12, label)];
      }),
    ];
  });
  const labels = peers.map(({ name }, row) => text(LABELS - 10, TOP + row * ROW + 12, name, { anchor: 'end' }));
  const title = text(LABELS, 22, 'Cost of an exchange (shorter is better)', { size: 14 });
  return figure(LABELS + COLUMNS.length * COLUMN, TOP + peers.length * ROW + 6, [title, ...labels, ...cells]);
}
