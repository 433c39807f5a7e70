/**
 * Servers without sockets and the boards that ask them, a program of its own. Counts the CPU time of the servers' part alone.
 */
import { serve } from './child.mjs';
import { InProcessServer, InProcessV2Server } from './in-process.mjs';

/** Exchanges of a board in one turn. */
const EXCHANGES_PER_TURN = 4;

/** @type {InProcessServer[]} */
const servers = [];
let boards = 0;

function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const functions = {
  /** @param {{ variants: import('./rounds.mjs').Variant[], boards: number }} options */
  start: async ({ variants, ...options }) => {
    ({ boards } = options);
    for (const { kind, lib, dataBytes, noreturn } of variants) {
      const Server = kind === 'v2' ? InProcessV2Server : InProcessServer;
      servers.push(await Server.start({ boards, lib, dataBytes, noreturn }));
    }
  },
  /** All boards of one server ask it. */
  run: async (/** @type {{ index: number }} */ { index }) => {
    let cpu = 0;
    for (let exchange = 0; exchange < EXCHANGES_PER_TURN; exchange++) {
      await servers[index].exchangeAll(async (phase) => {
        const before = cpuMicroseconds();
        await phase();
        cpu += cpuMicroseconds() - before;
      });
    }
    return { cpuMicroseconds: cpu, exchanges: boards * EXCHANGES_PER_TURN };
  },
};

/** @typedef {typeof functions} InProcessFunctions */

serve(functions);
