/**
 * The boards of several servers, a program of its own. Those of one server at a time make a number of exchanges, and then wait.
 */
import { serve } from './child.mjs';
import { createPeers } from './peers.mjs';

/** In milliseconds; nothing is lost on loopback if the buffers of 64 boards hold. */
const LONGEST_BURST_MS = 20_000;

/** @typedef {import('./peers.mjs').PeerOptions & { kind: import('./rounds.mjs').Kind }} BurstOptions */

/** @type {Burst[]} */
let bursts = [];

class Burst {
  #peers;
  /** @type {number[]} */
  #left;
  #underWay = 0;
  /** @type {() => void} */
  #onEnd = () => undefined;

  /** @param {BurstOptions} options */
  constructor({ kind, ...options }) {
    this.#peers = createPeers(kind, options, (peer) => this.#next(peer));
    this.#left = this.#peers.map(() => 0);
  }

  open() {
    return Promise.all(this.#peers.map((peer) => peer.open()));
  }

  /** @param {number} exchanges of each board */
  async run(exchanges) {
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    try {
      await new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`${this.#underWay} boards got no answer`)), LONGEST_BURST_MS);
        this.#onEnd = () => resolve(undefined);
        this.#underWay = this.#peers.length;
        this.#left.fill(exchanges);
        this.#peers.forEach((peer) => this.#next(peer));
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {import('./peers.mjs').Peer} peer */
  #next(peer) {
    if (this.#left[peer.index]-- > 0) {
      peer.begin();
    } else if (--this.#underWay === 0) {
      this.#onEnd();
    }
  }
}

const functions = {
  /** @param {BurstOptions[]} options of each server */
  start: async (options) => {
    bursts = options.map((each) => new Burst(each));
    await Promise.all(bursts.map((burst) => burst.open()));
  },
  /** @param {{ index: number, exchanges: number }} burst of this server */
  run: ({ index, exchanges }) => bursts[index].run(exchanges),
};

/** @typedef {typeof functions} BurstFunctions */

serve(functions);
