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
 * @param {import('../support/built-package.mjs').BuiltPackage} lib
 * @param {string} scenario
 * @param {number} seed
 * @returns {Promise<Played>}
 */
export async function play(lib, scenario, seed, { isShort = false } = {}) {
  const random = new Random(seed);
  let wallClock = () => 1_800_000_000_000;
  /** @type {(World | V2World)[]} */
  const worlds = [];
  /** @type {string[]} */
  const notes = [];
  /** @type {string[]} */
  const breaches = [];
  /**
   * @template {{ machine?: import('./machine.mjs').MachineOptions }} Options
   * @param {Options} [options]
   */
  const withClock = (options) => ({ ...options, machine: { wallClock: () => wallClock(), ...options?.machine } });
  /**
   * @template {World | V2World} T
   * @param {T} world
   */
  const add = (world) => {
    worlds.push(world);
    return world;
  };
  /** @type {import('./scenarios.mjs').Stage} */
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
  const reportCrash = (/** @type {unknown} */ error) =>
    void breaches.push(`uncaught: ${error instanceof Error ? error.stack : error}`);
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

/**
 * @param {string} scenario
 * @param {number} seed
 * @param {readonly (World | V2World)[]} worlds
 * @param {readonly string[]} notes
 * @param {readonly string[]} breaches
 * @returns {Played}
 */
function sum(scenario, seed, worlds, notes, breaches) {
  const total = (/** @type {(world: World | V2World) => number} */ read) =>
    worlds.reduce((result, world) => result + read(world), 0);
  const requests = worlds.flatMap(({ ledger }) => [...ledger.requests]);
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
