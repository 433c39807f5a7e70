/**
 * Measures servers that share one process. They take turns of some milliseconds, and the CPU time of each turn belongs to the server
 * whose turn it is. Separate processes differ by a third here, even with the same code: each has its own memory layout, and other
 * work of the machine comes and goes. Two servers with the same code in one process differ by 1 %.
 */
import { Child, LOAD_CORE } from './child.mjs';

/** Until V8 has compiled the hot functions of every server. */
const WARM_UP_SECONDS = 1.5;

/** Boards of each server. All of them have an exchange under way. */
export const BOARDS = 64;

/** Exchanges of a board in one turn over UDP: a turn takes some 60 ms. */
const EXCHANGES_PER_TURN = 8;

/**
 * @typedef {import('./rounds.mjs').Variant} Variant
 *
 * @typedef {object} Share what one server took in one round
 * @property {number} cpuMicroseconds for an exchange
 *
 * @typedef {object} Options
 * @property {number} rounds each with new processes
 * @property {number} seconds of each server in a round
 * @property {(shares: Share[]) => void} [onRound] called with the shares in the order of the servers
 */

/**
 * Over UDP, or TCP. The boards are in a process of their own.
 *
 * @param {Variant[]} variants
 * @param {Options} options
 * @returns {Promise<Share[][]>} the shares of each round, in the order of `variants`
 */
export function measureOverSockets(variants, options) {
  return measureRounds(options, async (measureTurns) => {
    /** @type {Child<import('./side-by-side-server.mjs').SideBySideFunctions>} */
    const server = new Child('side-by-side-server');
    /** @type {Child<import('./burst-load.mjs').BurstFunctions>} */
    const load = new Child('burst-load', { core: LOAD_CORE });
    try {
      const ports = await server.ask('start', variants);
      await load.ask(
        'start',
        variants.map((variant, index) => ({ ...variant, port: ports[index], peers: BOARDS })),
      );
      return await measureTurns(variants.length, async (index) => {
        const before = await server.ask('cpuMicroseconds');
        await load.ask('run', { index, exchanges: EXCHANGES_PER_TURN });
        const cpuMicroseconds = (await server.ask('cpuMicroseconds')) - before;
        return { cpuMicroseconds, exchanges: BOARDS * EXCHANGES_PER_TURN };
      });
    } finally {
      await Promise.all([load.stop(), server.stop()]);
    }
  });
}

/**
 * Without the system's part: each datagram is handed to the server inside of its process.
 *
 * @param {Variant[]} variants
 * @param {Options} options
 * @returns {Promise<Share[][]>} as `measureOverSockets`
 */
export function measureInProcess(variants, options) {
  return measureRounds(options, async (measureTurns) => {
    /** @type {Child<import('./in-process-server.mjs').InProcessFunctions>} */
    const servers = new Child('in-process-server');
    try {
      await servers.ask('start', { variants, boards: BOARDS });
      return await measureTurns(variants.length, (index) => servers.ask('run', { index }));
    } finally {
      await servers.stop();
    }
  });
}

/**
 * @typedef {{ cpuMicroseconds: number, exchanges: number }} Turn
 * @typedef {(count: number, runTurn: (index: number) => Promise<Turn>) => Promise<Share[]>} MeasureTurns
 *
 * @param {Options} options
 * @param {(measureTurns: MeasureTurns) => Promise<Share[]>} measureRound
 */
async function measureRounds({ rounds, seconds, onRound = () => undefined }, measureRound) {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    const shares = await measureRound(async (count, runTurn) => {
      await takeTurns(count, WARM_UP_SECONDS, runTurn);
      return takeTurns(count, seconds, runTurn);
    });
    all.push(shares);
    onRound(shares);
  }
  return all;
}

/**
 * @param {number} count
 * @param {number} seconds of each server
 * @param {(index: number) => Promise<Turn>} runTurn
 * @returns {Promise<Share[]>}
 */
async function takeTurns(count, seconds, runTurn) {
  const sums = Array.from({ length: count }, () => ({ cpuMicroseconds: 0, exchanges: 0 }));
  const end = performance.now() + seconds * 1000 * count;
  // The order changes, so that nobody always runs after the same server.
  for (let lap = 0; performance.now() < end; lap++) {
    for (let place = 0; place < count; place++) {
      const index = lap % 2 === 0 ? place : count - 1 - place;
      const turn = await runTurn(index);
      sums[index].cpuMicroseconds += turn.cpuMicroseconds;
      sums[index].exchanges += turn.exchanges;
    }
  }
  return sums.map(({ cpuMicroseconds, exchanges }) => ({ cpuMicroseconds: cpuMicroseconds / exchanges }));
}
