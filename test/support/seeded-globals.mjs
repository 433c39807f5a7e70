/**
 * Makes a whole run repeatable: the system's random numbers and the wall clock, which the package takes from Node and not from
 * its `Platform`, come from a seed while a world exists.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const { randomBytes, randomFillSync, randomInt } = crypto;
const { now } = Date;

/**
 * @param {import('./random.mjs').Random} random
 * @param {() => number} wallClock
 * @returns {() => void} puts everything back.
 */
export function seedGlobals(random, wallClock) {
  crypto.randomBytes = (size) => random.bytes(size);
  crypto.randomInt = (max) => random.below(max);
  crypto.randomFillSync = (target) => {
    random.bytes(target.length).copy(target);
    return target;
  };
  Date.now = wallClock;
  syncBuiltinESMExports();
  return () => {
    Object.assign(crypto, { randomBytes, randomFillSync, randomInt });
    Date.now = now;
    syncBuiltinESMExports();
  };
}
