/**
 * The loop of all targets: makes inputs, watches the results, and reports which of them break a promise.
 */
import { createHash } from 'node:crypto';
import { getHeapStatistics } from 'node:v8';
import { Random } from '#lib/testing/random.js';
import { collectGarbage } from '../support/garbage.mjs';
import { Mutator } from './mutator.mjs';

/** No input may take longer, or more memory. */
const MAX_MS = 50;
const MAX_BYTES = 16 * 2 ** 20;

/** The machine may be busy with something else: an input slower than this is run again, and the least processor time counts. */
const SUSPICIOUS_MS = 2;
const TRIES = 5;

/** Inputs that led to something new, and are built upon; large ones are not, because they take long. */
const MAX_INTERESTING = 4096;
const MAX_INTERESTING_BYTES = 1024;

/** Inputs between two looks at the clock, and two turns of the event loop. */
const BATCH = 256;

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} about
 * @property {readonly (string | Uint8Array)[]} dictionary
 * @property {number} maxBytes of an input.
 * @property {readonly Buffer[]} seeds inputs to begin with, besides the kept ones.
 * @property {(input: Buffer) => string | Promise<string>} run describes the result in words; throws if a promise is
 * broken. What leads to new words is kept in mind and built upon.
 * @property {() => string} [note] what else there is to say about the run
 * @property {() => void | Promise<void>} [end]
 */

/**
 * @typedef {object} Breach
 * @property {Buffer} input
 * @property {string} reason
 */

/**
 * @typedef {object} Report
 * @property {number} inputs
 * @property {number} seconds
 * @property {number} slowestMs
 * @property {number} largestBytes the most that the memory in use grew by during one input.
 * @property {number} outcomes different ones.
 * @property {readonly Breach[]} breaches the first ends the run.
 * @property {readonly Buffer[]} interesting inputs that led to something new.
 */

/**
 * Runs a target's kept inputs, then mutants of them, up to a number of inputs, a time, or a breach.
 *
 * @param {Target} target
 * @param {readonly Buffer[]} corpus
 * @param {{ seed: number, inputs: number, seconds: number }} limits
 * @returns {Promise<Report>}
 */
export async function fuzz(target, corpus, { seed, inputs, seconds }) {
  // Refusals are errors, and the stack is the largest cost of an error. A replay shows it.
  Error.stackTraceLimit = 0;
  const random = new Random(seed);
  const mutator = new Mutator(random, target.dictionary, target.maxBytes);
  const pool = [Buffer.alloc(0), ...target.seeds, ...corpus];
  const watch = new Watch(target);
  for (const input of pool.slice(0, inputs)) {
    await watch.run(input);
  }
  const usedBefore = bytesAfterCollection();
  while (watch.inputs < inputs && !watch.isOver(seconds)) {
    const end = Math.min(watch.inputs + BATCH, inputs);
    while (watch.inputs < end && watch.breaches.length === 0) {
      const input = mutator.mutate(random.pick(pool), random.pick(pool));
      const isNew = await watch.run(input);
      if (
        isNew &&
        input.length > 0 &&
        input.length <= MAX_INTERESTING_BYTES &&
        watch.interesting.length < MAX_INTERESTING
      ) {
        // A copy, because a slice keeps all of a large input.
        const kept = Buffer.alloc(input.length, input);
        watch.interesting.push(kept);
        pool.push(kept);
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const grown = bytesAfterCollection() - usedBefore;
  if (grown > MAX_BYTES) {
    watch.breach(Buffer.alloc(0), `${inMiB(grown)} MiB more are in use after the run`);
  }
  return watch.end();
}

/**
 * Runs one input.
 *
 * @param {Target} target
 * @param {Buffer} input
 */
export async function replay(target, input) {
  const watch = new Watch(target);
  await watch.run(input);
  await new Promise((resolve) => setImmediate(resolve));
  return watch.end();
}

/** Runs inputs, and sees what goes wrong. */
class Watch {
  inputs = 0;
  /** @type {Breach[]} */
  breaches = [];
  /** @type {Buffer[]} */
  interesting = [];
  #target;
  /** @type {Set<string>} */
  #outcomes = new Set();
  #slowestMs = 0;
  #largestBytes = 0;
  #startedAt = performance.now();
  /** @type {Buffer} */
  #latest = Buffer.alloc(0);
  #onStray = (/** @type {unknown} */ error) =>
    this.breach(this.#latest, `unhandled, of one of the last ${BATCH} inputs: ${describe(error)}`);

  /** @param {Target} target */
  constructor(target) {
    this.#target = target;
    process.on('unhandledRejection', this.#onStray);
    process.on('uncaughtException', this.#onStray);
  }

  /** @param {number} seconds */
  isOver(seconds) {
    return this.breaches.length > 0 || performance.now() - this.#startedAt >= seconds * 1000;
  }

  /**
   * @param {Buffer} input
   * @returns {Promise<boolean>} whether it led to something new.
   */
  async run(input) {
    this.inputs++;
    this.#latest = input;
    const { outcome, ms, bytes } = await this.#measure(input);
    this.#slowestMs = Math.max(this.#slowestMs, ms);
    this.#largestBytes = Math.max(this.#largestBytes, bytes);
    if (ms > MAX_MS) {
      this.breach(input, `it takes ${ms.toFixed(1)} ms`);
    }
    if (bytes > MAX_BYTES) {
      this.breach(input, `memory in use grows by ${inMiB(bytes)} MiB`);
    }
    const isNew = outcome !== undefined && !this.#outcomes.has(outcome);
    if (isNew) {
      this.#outcomes.add(outcome);
    }
    return isNew;
  }

  /**
   * @param {Buffer} input
   * @param {string} reason
   */
  breach(input, reason) {
    this.breaches.push({ input, reason });
  }

  async end() {
    process.off('unhandledRejection', this.#onStray);
    process.off('uncaughtException', this.#onStray);
    await this.#target.end?.();
    return {
      inputs: this.inputs,
      seconds: (performance.now() - this.#startedAt) / 1000,
      slowestMs: this.#slowestMs,
      largestBytes: this.#largestBytes,
      outcomes: this.#outcomes.size,
      breaches: this.breaches,
      interesting: this.interesting,
    };
  }

  /** @param {Buffer} input */
  async #measure(input) {
    const first = await this.#runOnce(input);
    for (let tries = 1; tries < TRIES && first.ms > SUSPICIOUS_MS; tries++) {
      const before = process.cpuUsage();
      await this.#runOnce(input);
      const { user, system } = process.cpuUsage(before);
      first.ms = Math.min(first.ms, (user + system) / 1000);
    }
    return first;
  }

  /** @param {Buffer} input */
  async #runOnce(input) {
    const bytesBefore = bytesInUse();
    const began = performance.now();
    let outcome;
    try {
      const running = this.#target.run(input);
      outcome = typeof running === 'string' ? running : await running;
    } catch (error) {
      this.breach(input, describe(error));
    }
    return { outcome, ms: performance.now() - began, bytes: bytesInUse() - bytesBefore };
  }
}

/** Garbage that was not collected meanwhile included, so it errs on the strict side. */
function bytesInUse() {
  const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics();
  return heap + buffers;
}

function bytesAfterCollection() {
  collectGarbage();
  return bytesInUse();
}

/** @param {number} bytes */
function inMiB(bytes) {
  return (bytes / 2 ** 20).toFixed(1);
}

/** @param {unknown} error */
export function describe(error) {
  return error instanceof Error && error.stack ? error.stack : String(error);
}

/**
 * The name of the file that an input is kept in.
 *
 * @param {Buffer} input
 */
export function nameOf(input) {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
}
