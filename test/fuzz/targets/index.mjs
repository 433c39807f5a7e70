/** All targets that are functions of their input; `app.mjs` is the one that is not. */
import { Random } from '#lib/testing/random.js';
import { createEnvelopeTarget } from './envelope.mjs';
import { createExchangeTarget } from './exchange.mjs';
import { createStrangerTarget } from './stranger.mjs';
import { createKeysTarget } from './keys.mjs';
import { createPythonTextTarget } from './python-text.mjs';
import { createReplyTarget } from './reply.mjs';
import { createRequestTarget } from './request.mjs';
import { createV2Target } from './v2.mjs';

/**
 * Makes a target, whose random bytes come from `randomFill`.
 *
 * @typedef {(lib: BuiltPackage, randomFill: RandomFill) => Target} CreateTarget
 *
 * @typedef {import('../../support/built-package.mjs').BuiltPackage} BuiltPackage
 * @typedef {import('#lib/random.js').RandomFill} RandomFill
 * @typedef {import('../fuzz.mjs').Target} Target
 */

/** @type {Record<string, CreateTarget>} */
export const TARGETS = {
  stranger: createStrangerTarget,
  envelope: createEnvelopeTarget,
  'python-text': createPythonTextTarget,
  request: createRequestTarget,
  exchange: createExchangeTarget,
  reply: createReplyTarget,
  keys: createKeysTarget,
  v2: createV2Target,
};

/**
 * All random bytes of a target come from the seed, so that a run and a replay of one input can be repeated.
 *
 * @param {string} name a key of `TARGETS`
 * @param {BuiltPackage} lib
 * @param {number} seed
 */
export function createTarget(name, lib, seed) {
  return TARGETS[name](lib, new Random(seed).fill);
}
