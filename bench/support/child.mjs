/**
 * Programs of the bench that run as processes of their own: how they are started, asked, and pinned to a core if the
 * system has `taskset`. Server and load on one core would measure the scheduler.
 */
import { execFileSync, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';

export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

export const isPinned = availableParallelism() > 1 && hasTaskset();

function hasTaskset() {
  try {
    execFileSync('taskset', ['-c', '0', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/**
 * What a program hands to `serve`. Each takes one argument at most, of a type of its own.
 *
 * @typedef {Record<string, (argument: never) => unknown>} Functions
 *
 * @typedef {{ id: number, name: string, argument: never }} Question
 * @typedef {{ id: number, result: never, error?: string }} Answer
 */

/**
 * The asking side.
 *
 * @template {Functions} F of the program
 */
export class Child {
  #process;
  #lastId = 0;
  /** @type {Map<number, { resolve: (result: never) => void, reject: (error: Error) => void }>} */
  #asked = new Map();

  /**
   * @param {string} program beside this file, without extension
   * @param {{ core?: number, execArgv?: string[], env?: Record<string, string>, cwd?: string, prefix?: string[] }} [options] `prefix`: a
   * command that runs the program, such as `nsenter` and its arguments
   */
  constructor(program, { core = SERVER_CORE, execArgv = [], env = {}, cwd, prefix = [] } = {}) {
    const pin = isPinned ? ['taskset', '-c', String(core)] : [];
    const [execPath, ...prefixed] = [...prefix, ...pin, process.execPath, ...execArgv];
    this.#process = fork(new URL(`./${program}.mjs`, import.meta.url), [], {
      execPath,
      execArgv: prefixed,
      cwd,
      env: { ...process.env, ...env },
    });
    this.#process.on('message', (message) => {
      const { id, result, error } = /** @type {Answer} */ (message);
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error === undefined) {
        asked?.resolve(result);
      } else {
        asked?.reject(new Error(`${program}: ${error}`));
      }
    });
    this.#process.on('exit', (code, signal) => {
      for (const { reject } of this.#asked.values()) {
        reject(new Error(`${program} ended (${signal ?? code})`));
      }
      this.#asked.clear();
    });
  }

  /**
   * Calls one of the functions that the program has handed to `serve`.
   *
   * @template {keyof F & string} Name
   * @param {Name} name
   * @param {Parameters<F[Name]>} rest its argument, if it takes one
   * @returns {Promise<Awaited<ReturnType<F[Name]>>>} the result of the function, copied from the other process.
   */
  ask(name, ...rest) {
    const [argument] = rest;
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#process.send({ id, name, argument });
    });
  }

  /** Lets the program end by itself, so that it can write its profile. */
  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = new Promise((resolve) => this.#process.once('exit', resolve));
      this.#process.disconnect();
      await ended;
    }
  }
}

/**
 * The answering side: returns the results of the functions. Ends when the asking side ends.
 *
 * @param {Functions} functions
 */
export function serve(functions) {
  process.on('message', async (message) => {
    const { id, name, argument } = /** @type {Question} */ (message);
    try {
      process.send?.({ id, result: await functions[name](argument) });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? error.stack : String(error) });
    }
  });
  process.on('disconnect', () => process.exit());
}

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
