/**
 * The server's part of exchanges without a socket: the exchange of known boards with a `ServerExchange`, in phases, so that
 * the boards' part in between is not measured. The clock is made up, and the secret fixed, so that a run can
 * be repeated exactly.
 */
import { DEFAULT_LIMITS, ServerExchange } from '#lib/exchange/index.js';
import { KeyRing } from '#lib/keys/index.js';
import { BoardCrypto, maxRequestLength, preparePlaintext } from './board-crypto.mjs';
import { HELLO, addressOf, dataOf, keyAt, requestText } from './wire.mjs';

/** More than a device's limit of hellos asks for, less than a slot. */
const BETWEEN_EXCHANGES_MS = 1000;

/** Between strangers: few enough for the limits of all together, and of one network. */
const BETWEEN_STRANGERS_MS = 2;

/** Keys that are tried in a millisecond, half as many as the limits allow. */
const KEYS_PER_MS = DEFAULT_LIMITS.keyAttempts.perSecond / 2000;

/**
 * @typedef {object} StepsOptions
 * @property {number} boards
 * @property {number} [keys]
 * @property {number} [dataBytes] of a request
 * @property {number} [replyBytes] default as many
 * @property {number} [maxDatagramBytes]
 */

export class Steps {
  now = 0;

  /** @param {StepsOptions} options */
  constructor({ boards, keys = 1, dataBytes = 32, replyBytes = dataBytes, maxDatagramBytes = 4096 }) {
    // One key is shared: a named key has a quota of the table.
    const names = Array.from({ length: keys }, (_, index) => ({
      device: keys === 1 ? undefined : `device-${index}`,
      key: keyAt(index),
    }));
    this.exchange = new ServerExchange({
      keys: new KeyRing(names),
      maxDatagramBytes,
      deviceTimeoutMs: 10_000,
      maxEndpoints: 65_536,
      limits: DEFAULT_LIMITS,
      inFlight: { maxInFlight: 10_000, maxInFlightPerDevice: 16, maxQueuedEvents: 32 },
      repair: true,
      secret: Buffer.alloc(32, 's'),
    });
    this.boards = boards;
    this.plaintext = preparePlaintext(requestText(dataBytes, false));
    this.reply = `{"data":"${dataOf(replyBytes)}"}`;
    this.keys = keys;
    /** Those of the last keys, so that the server finds none of them early. */
    this.firstKey = keys - Math.min(keys, boards);
    this.cryptos = names.slice(this.firstKey).map(({ key }) => new BoardCrypto(key));
  }

  /**
   * The sender as a socket reports it: a new object and a new flat string each time.
   *
   * @param {number} index
   * @returns {import('#lib/exchange/index.js').BenUdpRemote & { size: number }}
   */
  remoteOf(index) {
    const address = Buffer.from(addressOf(index)).toString('latin1');
    return { address, port: 1024 + (index % 60_000), family: 'IPv4', size: 0 };
  }

  /**
   * Datagrams 2 and 3.
   *
   * @param {number} index
   */
  hello(index, remote = this.remoteOf(index)) {
    const decision = this.exchange.receive(HELLO, remote, this.now);
    return decision.kind === 'pair' ? decision.datagrams : fail(decision);
  }

  /**
   * Datagram 4, the board's part.
   *
   * @param {number} index
   * @param {readonly Buffer[]} pair
   */
  ask(index, [ciphertext, iv]) {
    const crypto = this.cryptos[index % this.cryptos.length];
    const target = Buffer.alloc(maxRequestLength(this.plaintext));
    return target.subarray(0, crypto.writeRequest(crypto.openId(ciphertext, iv), this.plaintext, target));
  }

  /**
   * Datagrams 5 to 7.
   *
   * @param {number} index
   * @param {Buffer} envelope
   */
  answer(index, envelope, remote = this.remoteOf(index)) {
    let decision = this.exchange.receive(envelope, remote, this.now);
    while (decision.kind === 'searching') {
      const [late] = this.exchange.step(this.now);
      decision = late?.decision ?? decision;
    }
    if (decision.kind !== 'request') {
      return fail(decision);
    }
    const { pending } = decision;
    const datagrams = this.exchange.reply(pending, this.reply, this.now);
    this.exchange.finish(pending, this.now);
    return datagrams;
  }

  /** Makes the server's acquaintance of every board, no faster than its limits let it try keys. */
  introduce() {
    for (let index = 0; index < this.boards; index++) {
      this.now += Math.max(BETWEEN_STRANGERS_MS, this.keys / KEYS_PER_MS);
      this.answer(index, this.ask(index, this.hello(index)));
    }
  }

  /**
   * One exchange of every board; each phase is handed to `measured`, which has to call it.
   *
   * @param {(phase: () => void) => void} measured
   */
  exchangeAll(measured = (phase) => phase()) {
    /** @type {(readonly Buffer[])[]} */
    const pairs = Array.from({ length: this.boards });
    const remotes = pairs.map((_, index) => this.remoteOf(index));
    this.now += BETWEEN_EXCHANGES_MS;
    measured(() => {
      for (let index = 0; index < this.boards; index++) {
        pairs[index] = this.hello(index, remotes[index]);
      }
    });
    const envelopes = pairs.map((pair, index) => this.ask(index, pair));
    measured(() => {
      for (let index = 0; index < this.boards; index++) {
        this.answer(index, envelopes[index], remotes[index]);
      }
    });
  }
}

/**
 * @param {import('#lib/exchange/index.js').Decision} decision
 * @returns {never}
 */
function fail(decision) {
  throw new Error(`a datagram was not taken: ${decision.kind === 'rejected' ? decision.reason : decision.kind}`);
}
