/**
 * Devices at the end of a slow network, a program of its own: how long they wait for an answer, and what goes over the wire for it.
 */
import { readFileSync } from 'node:fs';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { UdpProxy } from '../peers/udp-proxy.mjs';
import { pause, serve } from './child.mjs';
import { createPeers } from './peers.mjs';
import { median, percentile } from './statistics.mjs';
import { ACTION, HOST, addressOf, dataOf, keyFileAt } from './wire.mjs';

/** Until the last acknowledgements are through. */
const SETTLE_ROUND_TRIPS = 4;

/** New devices, each from nothing to its first answer. */
const FIRSTS = 5;

/** Upstream's server ends if a datagram is lost. A board notices it by this many timeouts in a row, each of 10 s. */
const MAX_TIMEOUTS = 2;

/**
 * @typedef {import('./rounds.mjs').Kind} Kind
 * @typedef {import('./peers.mjs').Peer} Peer
 * @typedef {import('./peers.mjs').PeerOptions} PeerOptions
 * @typedef {Omit<PeerOptions, 'peers'> & { kind: Kind, exchanges: number }} Talk of each device
 * @typedef {{ loss: number, roundTripMs: number }} Way to the server and back
 */

/** A device that can be awaited. */
class FieldDevice {
  #peer;
  /** @type {(value?: unknown) => void} Set by `ask`. */
  #done;

  /**
   * @param {Kind} kind
   * @param {PeerOptions} options
   */
  static create(kind, options) {
    /** @type {Map<Peer, FieldDevice>} */
    const devices = new Map();
    for (const peer of createPeers(kind, options, (ended) => devices.get(ended)?.end())) {
      devices.set(peer, new FieldDevice(peer));
    }
    return [...devices.values()];
  }

  /** @param {Peer} peer */
  constructor(peer) {
    this.#peer = peer;
  }

  open() {
    return this.#peer.open();
  }

  ask() {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#peer.begin();
    });
  }

  end() {
    this.#done();
  }

  close() {
    this.#peer.close();
  }
}

class ServerGoneError extends Error {}

/** A board with upstream's client: it reads by order alone, waits 10 s for a datagram, and then its program asks again. */
class FieldBoard {
  /** @type {VirtualBoard} Set by `open`. */
  #board;

  /**
   * @param {Kind} kind
   * @param {PeerOptions} options
   */
  static create(kind, options) {
    return Array.from({ length: options.peers }, (_, index) => new FieldBoard(index, kind, options));
  }

  /**
   * @param {number} index
   * @param {Kind} kind
   * @param {PeerOptions} options
   */
  constructor(index, kind, { port, dataBytes }) {
    this.data = dataOf(dataBytes);
    const localPort = kind === 'upstream' ? port : 0;
    this.maxTimeouts = kind === 'upstream' ? MAX_TIMEOUTS : Infinity;
    this.options = { key: keyFileAt(0), host: HOST, port, localAddress: addressOf(index), localPort };
  }

  async open() {
    this.#board = await VirtualBoard.start(this.options);
  }

  async ask() {
    for (let timeouts = 0; timeouts < this.maxTimeouts;) {
      try {
        if ((await this.#board.send({ action: ACTION, data: this.data })) === this.data) {
          return;
        }
      } catch (error) {
        const { code } = /** @type {import('nestjs-ben-udp').BenUdpError} */ (error);
        if (code !== 'BEN_TIMEOUT' && code !== 'BEN_BAD_REPLY') {
          throw error;
        }
        timeouts += code === 'BEN_TIMEOUT' ? 1 : 0;
      }
    }
    throw new ServerGoneError();
  }

  close() {
    return this.#board.close();
  }
}

/**
 * @param {Kind} kind
 * @param {PeerOptions} options
 */
function createDevices(kind, options) {
  return (kind === 'ben' || kind === 'upstream' ? FieldBoard : FieldDevice).create(kind, options);
}

/**
 * Without namespaces, all goes through this.
 *
 * @type {UdpProxy | undefined}
 */
let proxy;

/** Both directions of the way out of this namespace, as IP packets. */
function readCounters() {
  if (proxy) {
    return { ...proxy.counters };
  }
  const line = /^\s*devices:(.*)$/m.exec(readFileSync('/proc/net/dev', 'utf8'));
  const [inBytes, inPackets, , , , , , , outBytes, outPackets] = (line?.[1] ?? '').trim().split(/\s+/).map(Number);
  return { bytes: inBytes + outBytes, packets: inPackets + outPackets };
}

/** @param {() => Promise<unknown>} work */
async function timeOf(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/**
 * The medians of some exchanges, and their wire.
 *
 * @param {number} count
 * @param {number} settleMs
 * @param {(done: number) => Promise<number>} exchange returns its milliseconds
 */
async function measureEach(count, settleMs, exchange) {
  const times = [];
  const wires = [];
  for (let done = 0; done < count; done++) {
    const before = readCounters();
    times.push(await exchange(done));
    await pause(settleMs);
    const after = readCounters();
    wires.push({ bytes: after.bytes - before.bytes, packets: after.packets - before.packets });
  }
  return {
    ms: median(times),
    bytes: median(wires.map(({ bytes }) => bytes)),
    packets: median(wires.map(({ packets }) => packets)),
  };
}

const functions = {
  /** Datagrams go through a proxy from now on. Returns its port. */
  startProxy: async (/** @type {{ serverPort: number }} */ options) => {
    proxy = await UdpProxy.start(options);
    return proxy.port;
  },

  /** @param {Way} way of the proxy */
  setWay: (way) => proxy?.setWay(way),

  /** How long the fastest of some first exchanges takes, and the fastest of some further ones. */
  fastest: async (/** @type {Talk} */ { kind, exchanges, ...options }) => {
    const firsts = [];
    const furthers = [];
    for (let done = 0; done < exchanges; done++) {
      const [device] = createDevices(kind, { ...options, peers: 1 });
      firsts.push(
        await timeOf(async () => {
          await device.open();
          await device.ask();
        }),
      );
      furthers.push(await timeOf(() => device.ask()));
      await device.close();
    }
    return { firstMs: Math.min(...firsts), furtherMs: Math.min(...furthers) };
  },

  /** Devices one by one: from nothing to the first answer, then further ones of the last. */
  alone: async (/** @type {Talk & { roundTripMs: number }} */ { kind, exchanges, roundTripMs, ...options }) => {
    const settleMs = SETTLE_ROUND_TRIPS * roundTripMs;
    let [device] = createDevices(kind, { ...options, peers: 1 });
    // The first of all also waits until both sides have compiled their code. The median leaves it out.
    const first = await measureEach(FIRSTS, settleMs, async (done) => {
      if (done > 0) {
        await device.close();
      }
      [device] = createDevices(kind, { ...options, peers: 1 });
      return timeOf(async () => {
        await device.open();
        await device.ask();
      });
    });
    const further = await measureEach(exchanges, settleMs, () => timeOf(() => device.ask()));
    await device.close();
    return { first, further };
  },

  /** Many devices, each with a fixed number of exchanges: a fixed time would leave out the longest ones. */
  many: async (/** @type {Talk & { peers: number }} */ { kind, exchanges, ...options }) => {
    /** @type {number[]} */
    const times = [];
    const talk = async (/** @type {FieldDevice | FieldBoard} */ device) => {
      await device.open();
      for (let exchange = 0; exchange < exchanges; exchange++) {
        times.push(await timeOf(() => device.ask()));
      }
      await device.close();
    };
    const ends = await Promise.allSettled(createDevices(kind, options).map(talk));
    const failures = ends.filter((end) => end.status === 'rejected').map(({ reason }) => reason);
    const unexpected = failures.find((reason) => !(reason instanceof ServerGoneError));
    if (unexpected) {
      throw unexpected;
    }
    return {
      answers: times.length,
      hasServerEnded: failures.length > 0,
      p50: percentile(times, 0.5),
      p99: percentile(times, 0.99),
      longest: Math.max(...times),
    };
  },
};

/** @typedef {typeof functions} FieldLoadFunctions */

serve(functions);
