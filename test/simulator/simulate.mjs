/**
 * Plays scenarios. The package comes in from outside, so that both the build and the source can be simulated.
 */
import { Random } from '#lib/testing/random.js';
import { SCENARIOS } from './scenarios.mjs';
import { World } from './world.mjs';
import { V2World } from './world-v2.mjs';

export const SCENARIO_NAMES = Object.keys(SCENARIOS);

/**
 * @typedef {object} Played
 * @property {string} scenario
 * @property {number} seed
 * @property {number} worlds
 * @property {number} simulatedMs
 * @property {number} delivered datagrams that the server read.
 * @property {number} requests that devices made.
 * @property {number} executions
 * @property {number} lost requests that failed.
 * @property {readonly string[]} notes
 * @property {readonly string[]} breaches nothing where all is well.
 */

/**
 * Plays a scenario; what happens follows from its name, `seed` and `isShort`.
 *
 * @param lib `BenUdpTransport`, and the functions of the exchange and protocol layers.
 * @param {string} scenario
 * @param {number} seed
 * @returns {Promise<Played>}
 */
export async function play(lib, scenario, seed, { isShort = false } = {}) {
  const random = new Random(seed);
  let wallClock = () => 1_800_000_000_000;
  const worlds = [];
  const notes = [];
  const breaches = [];
  const withClock = (options) => ({ ...options, machine: { wallClock: () => wallClock(), ...options?.machine } });
  const add = (world) => {
    worlds.push(world);
    return world;
  };
  const stage = {
    random,
    isShort,
    createWorld: (options) => add(new World(lib, random.next(), withClock(options))),
    createV2World: (options) => add(new V2World(lib, random.next(), withClock(options))),
    expect: (isTrue, claim) => {
      if (!isTrue) {
        breaches.push(claim);
      }
    },
    note: (text) => notes.push(text),
    setWallClock: (clock) => {
      wallClock = clock;
    },
  };
  const reportCrash = (error) => breaches.push(`uncaught: ${error?.stack ?? error}`);
  process.on('uncaughtException', reportCrash);
  process.on('unhandledRejection', reportCrash);
  try {
    await SCENARIOS[scenario].play(stage);
  } catch (error) {
    reportCrash(error);
  } finally {
    process.off('uncaughtException', reportCrash);
    process.off('unhandledRejection', reportCrash);
  }
  return sum(scenario, seed, worlds, notes, breaches);
}

function sum(scenario, seed, worlds, notes, breaches) {
  const total = (read) => worlds.reduce((result, world) => result + read(world), 0);
  const requests = worlds.flatMap(({ ledger }) => ledger.requests);
  return {
    scenario,
    seed,
    worlds: worlds.length,
    simulatedMs: total(({ timeline, startedAt }) => timeline.now - startedAt),
    delivered: total(({ ledger }) => ledger.counts.delivered),
    requests: requests.length,
    executions: total(({ ledger }) => ledger.counts.executions),
    lost: requests.filter(({ noreturn, executions, ending }) => (noreturn ? executions === 0 : ending !== 'ok')).length,
    notes,
    breaches: [...worlds.flatMap(({ ledger }) => ledger.breaches), ...breaches],
  };
}
