/**
 * The loop of all targets: makes inputs, watches what they lead to, and says which of them break a promise.
 */
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Random } from '../support/random.mjs';
import { Mutator } from './mutator.mjs';

/** No input may take longer, or more memory. */
export const MAX_MS = 50;
export const MAX_BYTES = 16 * 2 ** 20;

/** What takes that much memory takes more time than this, so only slower inputs are measured. One in so many is, all the same. */
const SUSPICIOUS_MS = 2;
const MEASURED_ONE_IN = 1024;

/** Inputs that led to something new, and are built upon. */
const MAX_INTERESTING = 4096;

/** Inputs between two looks at the clock. */
const BATCH = 256;

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} about
 * @property {readonly (string | Uint8Array)[]} dictionary
 * @property {number} maxBytes
 * @property {() => Buffer[]} seeds inputs to begin with, besides the kept ones.
 * @property {(input: Buffer) => string | Promise<string>} run what the input came to, in words; throws where a promise is
 * broken. What leads to new words is kept in mind and built upon.
 * @property {(() => void | Promise<void>)} [end]
 */

/**
 * @typedef {object} Failure
 * @property {Buffer} input
 * @property {string} reason
 */

/**
 * @typedef {object} Report
 * @property {number} inputs
 * @property {number} seconds
 * @property {number} slowestMs
 * @property {Map<string, number>} outcomes
 * @property {Failure | undefined} failure the first; the session ends with it.
 * @property {Buffer[]} interesting inputs that led to something new.
 */

/**
 * @param {Target} target
 * @param {readonly Buffer[]} corpus
 * @param {{ seed: number, inputs?: number, seconds?: number }} limits
 * @returns {Promise<Report>}
 */
export async function fuzz(target, corpus, { seed, inputs = Infinity, seconds = Infinity }) {
  const session = new Session(target);
  const random = new Random(seed);
  const mutator = new Mutator(random, target.dictionary, target.maxBytes);
  const pool = [...corpus, ...target.seeds()];
  for (const input of pool) {
    await session.tryInput(input);
  }
  if (pool.length === 0) {
    pool.push(Buffer.alloc(0));
  }
  const started = performance.now();
  const isOver = () =>
    session.failure || session.inputs >= inputs || performance.now() - started >= Math.min(seconds * 1000, 1e12);
  session.startMemory();
  while (!isOver()) {
    for (let count = 0; count < BATCH && session.inputs < inputs && !session.failure; count++) {
      const input = mutator.mutate(random.pick(pool), random.pick(pool));
      const isNew = session.tryInput(input);
      if ((typeof isNew === 'boolean' ? isNew : await isNew) && pool.length < MAX_INTERESTING) {
        pool.push(input);
        session.interesting.push(input);
      }
    }
  }
  session.endMemory();
  await target.end?.();
  return session.report((performance.now() - started) / 1000);
}

/** Runs one input, as a session does; throws what the session would report. */
export async function replay(target, input) {
  const session = new Session(target);
  await session.tryInput(input);
  return session.report(0);
}

class Session {
  inputs = 0;
  failure;
  interesting = [];
  #target;
  #outcomes = new Map();
  #slowestMs = 0;
  #usedAtStart = 0;

  constructor(target) {
    this.#target = target;
  }

  /** @returns whether it led to something new. */
  tryInput(input) {
    this.inputs++;
    const before = performance.now();
    let outcome;
    try {
      outcome = this.#target.run(input);
    } catch (error) {
      return this.#fail(input, error);
    }
    return typeof outcome === 'string'
      ? this.#note(input, outcome, performance.now() - before)
      : outcome.then(
          (text) => this.#note(input, text, performance.now() - before),
          (error) => this.#fail(input, error),
        );
  }

  startMemory() {
    this.#usedAtStart = usedMemory();
  }

  endMemory() {
    const grown = usedMemory() - this.#usedAtStart;
    if (grown > MAX_BYTES && !this.failure) {
      this.#fail(Buffer.alloc(0), new Error(`${(grown / 2 ** 20).toFixed(1)} MiB are still in use after the session`));
    }
  }

  report(seconds) {
    return {
      inputs: this.inputs,
      seconds,
      slowestMs: this.#slowestMs,
      outcomes: this.#outcomes,
      failure: this.failure,
      interesting: this.interesting,
    };
  }

  #note(input, outcome, tookMs) {
    const known = this.#outcomes.get(outcome);
    this.#outcomes.set(outcome, (known ?? 0) + 1);
    const isSuspicious = tookMs > SUSPICIOUS_MS || this.inputs % MEASURED_ONE_IN === 0;
    const measured = isSuspicious ? this.#measure(input, tookMs) : tookMs;
    if (typeof measured === 'number') {
      this.#slowestMs = Math.max(this.#slowestMs, measured);
      return known === undefined;
    }
    return measured.then((ms) => {
      this.#slowestMs = Math.max(this.#slowestMs, ms);
      return known === undefined;
    });
  }

  /** The least time of some more runs, for the machine may have been busy; and the memory it takes. */
  #measure(input, tookMs) {
    let least = tookMs;
    const times = tookMs > MAX_MS / 2 ? 3 : 1;
    const check = (ms, bytes) => {
      least = Math.min(least, ms);
      return bytes;
    };
    const finish = (bytes) => {
      if (least > MAX_MS) {
        this.#fail(input, new Error(`it takes ${least.toFixed(1)} ms`));
      } else if (bytes > MAX_BYTES) {
        this.#fail(input, new Error(`it takes ${(bytes / 2 ** 20).toFixed(1)} MiB`));
      }
      return least;
    };
    let bytes = Infinity;
    for (let time = 0; time < times; time++) {
      const before = allocated();
      const began = performance.now();
      const outcome = this.#target.run(input);
      if (typeof outcome !== 'string') {
        return outcome.then(() => finish(check(performance.now() - began, allocated() - before)));
      }
      bytes = Math.min(bytes, check(performance.now() - began, allocated() - before));
    }
    return finish(bytes);
  }

  #fail(input, error) {
    this.failure ??= { input, reason: error?.stack ?? String(error) };
    return false;
  }
}

function allocated() {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

let collectGarbage;

function usedMemory() {
  if (!collectGarbage) {
    setFlagsFromString('--expose-gc');
    collectGarbage = runInNewContext('gc');
  }
  collectGarbage();
  return allocated();
}

/** The name of the file that an input is kept in. */
export function nameOf(input) {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
}
