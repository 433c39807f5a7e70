/**
 * The load, a program of its own: peers that take turns, of which a fixed number has an exchange under way.
 * The next exchange begins when one ends. While it runs it can be kept awake: a server pays for waking the one it sends to,
 * and pays the more the idler that one is, so that a slow server would look slower than it is.
 */
import { pause, serve } from './child.mjs';
import { createPeers } from './peers.mjs';
import { percentile } from './statistics.mjs';

/** An exchange that takes longer has lost a datagram: it is counted, and its peer begins again with a new socket. */
const LOST_MS = 2000;
/** A stream loses nothing, but a thousand handshakes take their time. */
const STREAM_LOST_MS = 60_000;
/** @type {ReadonlySet<Kind>} */
const STREAMS = new Set(['tcp', 'mqtt', 'http']);
const OPENED_AT_ONCE = 100;
/** Between two looks at whether the last exchanges have ended. */
const LAST_MS = 5;

/** @typedef {import('./rounds.mjs').Kind} Kind */

/** @type {Load} Set by `start`. */
let load;

class Load {
  /** @type {import('./peers.mjs').Peer[]} */
  #peers;
  /**
   * Peers whose turn has not come, in a ring: those that waited longest are next.
   *
   * @type {import('./peers.mjs').Peer[]}
   */
  #idle;
  #nextIdle = 0;
  #endIdle = 0;
  #beganAt;
  /** @type {number[]} */
  #latencies = [];
  #isRunning = true;
  #lost = 0;
  #beganWindowAt = 0;
  #underWay = 0;
  #lostMs;

  /**
   * @param {Kind} kind
   * @param {import('./peers.mjs').PeerOptions} options
   */
  constructor(kind, options) {
    this.#lostMs = STREAMS.has(kind) ? STREAM_LOST_MS : LOST_MS;
    this.#peers = createPeers(kind, options, (peer) => this.#end(peer));
    this.#idle = Array.from({ length: this.#peers.length + 1 });
    this.#beganAt = new Float64Array(this.#peers.length).fill(Infinity);
  }

  /**
   * @param {number} inFlight
   * @param {boolean} isKeptAwake
   */
  async start(inFlight, isKeptAwake) {
    for (let index = 0; index < this.#peers.length; index += OPENED_AT_ONCE) {
      await Promise.all(this.#peers.slice(index, index + OPENED_AT_ONCE).map((peer) => peer.open()));
    }
    this.#peers.forEach((peer) => this.#queue(peer));
    for (let index = 0; index < inFlight; index++) {
      this.#beginNext();
    }
    this.watch = setInterval(() => this.#restartLost(), LOST_MS / 4);
    if (isKeptAwake) {
      this.#stayAwake();
    }
  }

  #stayAwake() {
    if (this.#isRunning) {
      setImmediate(() => this.#stayAwake());
    }
  }

  beginWindow() {
    this.#latencies = [];
    this.#lost = 0;
    this.#beganWindowAt = performance.now();
  }

  get count() {
    return this.#latencies.length;
  }

  endWindow() {
    const now = performance.now();
    const seconds = (now - this.#beganWindowAt) / 1000;
    // They count with their age: percentiles of those alone that had an answer would praise a server that leaves devices waiting.
    const waiting = Array.from(
      this.#beganAt.filter((beganAt) => beganAt < this.#beganWindowAt),
      (beganAt) => now - beganAt,
    );
    const latencies = Float64Array.from([...this.#latencies, ...waiting]).toSorted();
    return {
      perSecond: this.#latencies.length / seconds,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      lost: this.#lost,
      waiting: waiting.length,
    };
  }

  /** Lets exchanges end that are under way: upstream's server ends if another hello follows a hello. */
  async stop() {
    this.#isRunning = false;
    clearInterval(this.watch);
    for (const end = performance.now() + this.#lostMs; this.#underWay > 0 && performance.now() < end;) {
      await pause(LAST_MS);
    }
    this.#peers.forEach((peer) => peer.close());
  }

  /** @param {import('./peers.mjs').Peer} peer */
  #queue(peer) {
    this.#idle[this.#endIdle] = peer;
    this.#endIdle = (this.#endIdle + 1) % this.#idle.length;
  }

  #beginNext() {
    const peer = this.#idle[this.#nextIdle];
    this.#nextIdle = (this.#nextIdle + 1) % this.#idle.length;
    this.#beganAt[peer.index] = performance.now();
    this.#underWay++;
    peer.begin();
  }

  /** @param {import('./peers.mjs').Peer} peer */
  #end(peer) {
    this.#latencies.push(performance.now() - this.#beganAt[peer.index]);
    this.#beganAt[peer.index] = Infinity;
    this.#underWay--;
    this.#queue(peer);
    if (this.#isRunning) {
      this.#beginNext();
    }
  }

  #restartLost() {
    const now = performance.now();
    for (const peer of this.#peers) {
      if (now - this.#beganAt[peer.index] > this.#lostMs) {
        this.#lost++;
        this.#beganAt[peer.index] = now;
        peer.close();
        peer.open().then(() => peer.begin());
      }
    }
  }
}

const functions = {
  /** @param {import('./peers.mjs').PeerOptions & { kind: Kind, inFlight: number, isKeptAwake?: boolean }} options */
  start: ({ kind, inFlight, isKeptAwake = false, ...options }) => {
    load = new Load(kind, options);
    return load.start(inFlight, isKeptAwake);
  },
  begin: () => load.beginWindow(),
  /** Exchanges since `begin`. */
  count: () => load.count,
  end: () => load.endWindow(),
  stop: () => load.stop(),
};

/** @typedef {typeof functions} LoadFunctions */

serve(functions);
