/**
 * Compares the transport with what else a board could talk to a Nest app: the same controller, the same 32 bytes, one machine, one run.
 * The servers take turns in each round, and ratios are between figures of one round.
 *
 *     npm run bench:peers
 *     npm run bench:peers -- --save
 *     npm run bench:peers -- --smoke
 *     npm run bench:peers -- --only "BenUdp v1; CoAP" --rounds 1
 *
 * `--save` writes docs/peers.json, and the tables and the chart of docs/performance.md from it. Figures of the wire and those with loss
 * come from network namespaces of the bench, which need root. Without root, UDP alone is measured there, through a proxy.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createCertificate } from './peers/certificate.mjs';
import { LOSS, ROUND_TRIP_MS, openField } from './peers/field.mjs';
import { findMissing, run } from './peers/programs.mjs';
import { BASE_NAME, PEERS } from './peers/registry.mjs';
import { findUpstreamsEnd } from './peers/upstreams-end.mjs';
import { describeMachine } from './support/machine.mjs';
import { measure, ratio, slicesOf } from './support/rounds.mjs';
import { savePage } from './support/save.mjs';
import { medianRecord } from './support/statistics.mjs';

/**
 * @typedef {import('./peers/report.mjs').PeerLoad} PeerLoad
 * @typedef {import('./peers/report.mjs').PeerSettings} Settings
 * @typedef {import('./support/rounds.mjs').Variant & Pick<import('./peers/registry.mjs').PeerLine, 'over'>} PeerVariant
 */

const FULL = { devices: '1,64,1000', rounds: '5', seconds: '1', fieldDevices: '32', fieldExchanges: '60' };
/** Each kind of peer once, so that CI notices what no longer runs. Its figures say nothing. */
const SMOKE = { devices: '1,8', rounds: '1', seconds: '0.2', fieldDevices: '2', fieldExchanges: '1' };
const SMOKE_PEERS = [
  'BenUdp v1',
  'BenUdp v2',
  'upstream, rebuilt',
  'CoAP',
  'MQTT, TLS',
  'HTTPS, new connection',
  'HTTP, kept',
];
const SMOKE_FIELD = ['BenUdp v2', 'CoAP', 'MQTT, TLS'];

const { values } = parseArgs({
  options: {
    devices: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    'field-devices': { type: 'string' },
    'field-exchanges': { type: 'string' },
    only: { type: 'string' },
    out: { type: 'string', default: 'bench-peers.json' },
    save: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
});

function readSettings() {
  const defaults = values.smoke ? SMOKE : FULL;
  /**
   * @param {'rounds' | 'seconds' | 'field-devices' | 'field-exchanges'} option
   * @param {Exclude<keyof typeof FULL, 'devices'>} name
   */
  const read = (option, name) => Number(values[option] ?? defaults[name]);
  return {
    devices: (values.devices ?? defaults.devices).split(',').map(Number),
    rounds: read('rounds', 'rounds'),
    seconds: read('seconds', 'seconds'),
    fieldDevices: read('field-devices', 'fieldDevices'),
    fieldExchanges: read('field-exchanges', 'fieldExchanges'),
  };
}

/** @param {string[]} names */
function choose(names) {
  const unknown = names.filter((name) => !PEERS.some((peer) => peer.name === name));
  if (unknown.length > 0) {
    console.error(`unknown peer: ${unknown.join(', ')}. The peers are: ${PEERS.map(({ name }) => name).join('; ')}`);
    process.exit(2);
  }
  return PEERS.filter(({ name }) => names.includes(name)).filter(hasPrograms);
}

/**
 * In CI nothing may be left out, because nobody would notice.
 *
 * @param {import('./peers/registry.mjs').PeerLine} peer
 */
function hasPrograms({ name, needs = [] }) {
  const missing = findMissing(needs);
  if (missing.length > 0) {
    note(`${name} is left out: ${missing.join(', ')} is not installed. With CI=true, .ci/setup installs it`);
    process.exitCode = process.env.CI === 'true' ? 1 : 0;
  }
  return missing.length === 0;
}

/** What only the peers depend on is no dependency of the package. */
function installPeers() {
  const folder = fileURLToPath(new URL('./peers', import.meta.url));
  if (!existsSync(join(folder, 'node_modules'))) {
    note('Installing the dependencies of bench/peers');
    run(['npm', 'ci', '--no-audit', '--no-fund', '--prefix', folder]);
  }
}

/** @param {string} text */
function note(text) {
  process.stderr.write(`${text}\n`);
}

/**
 * All servers under load, on this machine's own addresses.
 *
 * @param {readonly PeerVariant[]} variants
 * @param {Settings} settings
 * @returns {Promise<Record<string, PeerLoad[]>>}
 */
async function measureLoads(variants, { devices, rounds, seconds }) {
  const loads = devices.map((count) => ({ peers: count, inFlight: count }));
  /** @type {(name: string, peers: number, slice: import('./support/rounds.mjs').Slice) => void} */
  const onSlice = (name, peers, { cpuMicroseconds, p50 }) =>
    note(`${name}, ${peers}: ${cpuMicroseconds.toFixed(1)} µs of CPU, p50 ${p50.toFixed(2)} ms`);
  const slices = await measure(variants, loads, { rounds, seconds, onSlice, warmUpMs: values.smoke ? 200 : undefined });
  return Object.fromEntries(
    variants.map((variant) => [
      variant.name,
      loads
        .filter((load) => slicesOf(slices, variant, load).length > 0)
        .map((load) => {
          const own = slicesOf(slices, variant, load);
          const base = slicesOf(slices, { name: BASE_NAME }, load);
          const hasBase = base.length > 0;
          return {
            devices: load.peers,
            ...medianRecord(own),
            cpuToBase: hasBase ? ratio(own, base, 'cpuMicroseconds') : undefined,
            p50ToBase: hasBase ? ratio(own, base, 'p50') : undefined,
          };
        }),
    ]),
  );
}

/**
 * @param {readonly PeerVariant[]} variants
 * @param {Settings} settings
 */
async function measureField(variants, { fieldDevices, fieldExchanges }) {
  const field = await openField();
  if (field.obstacle !== undefined) {
    note(`No network namespaces, so UDP alone is delayed and counted: ${field.obstacle}`);
  }
  /** @type {Record<string, import('./peers/field.mjs').FieldFigures>} */
  const figures = {};
  try {
    for (const variant of variants.filter(({ over }) => field.obstacle === undefined || over === 'UDP')) {
      figures[variant.name] = await field.measure(variant, { devices: fieldDevices, exchanges: fieldExchanges });
      const { first, further, lossy } = figures[variant.name];
      note(
        `${variant.name}: ${first.roundTrips}, then ${further.roundTrips} round trips; p99 ${Math.round(lossy.p99)} ms`,
      );
    }
  } finally {
    await field.stop();
  }
  return { obstacle: field.obstacle, figures };
}

const settings = readSettings();
installPeers();
const folder = mkdtempSync(join(tmpdir(), 'ben-udp-peers-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const lines = choose(
  values.only?.split(';').map((name) => name.trim()) ?? (values.smoke ? SMOKE_PEERS : PEERS.map(({ name }) => name)),
);
const certificate = lines.some(({ isTls }) => isTls) ? createCertificate(folder) : {};
const variants = lines.map(({ isTls, ...line }) => ({
  dataBytes: 32,
  noreturn: false,
  keys: 1,
  ...line,
  ...(isTls ? certificate : {}),
}));
const loads = await measureLoads(variants, settings);
const field = await measureField(
  values.smoke ? variants.filter(({ name }) => SMOKE_FIELD.includes(name)) : variants,
  settings,
);
const upstream = variants.find(({ kind }) => kind === 'upstream');
/** @type {import('./peers/report.mjs').PeerResults} */
const results = {
  machine: { ...describeMachine(), load: loadavg()[0] },
  settings: { ...settings, roundTripMs: ROUND_TRIP_MS, loss: LOSS },
  obstacle: field.obstacle,
  upstreamsEnd: upstream && (await findUpstreamsEnd(upstream)),
  peers: lines.map(({ name, over, protects }) => ({
    name,
    over,
    protects,
    loads: loads[name],
    field: field.figures[name],
  })),
};
const round = (/** @type {string} */ _key, /** @type {unknown} */ value) =>
  typeof value === 'number' ? Number(value.toPrecision(4)) : value;
const json = `${JSON.stringify(results, round, 2)}\n`;
if (values.save) {
  await savePage('peers', JSON.parse(json));
  note('Written to docs/.');
} else {
  writeFileSync(values.out, json);
  note(`Written to ${values.out}.`);
}
