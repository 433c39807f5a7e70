/**
 * Keeps the books of a simulated world and says where they don't balance: every datagram the server reads or sends, every request
 * a device makes, every handler that runs.
 */

/** What the server's event loop may stand still without noticing. */
const UNNOTICED_STALL_MS = 700;

/** Longest life of an id: its slot and the next. */
const ID_LIFE_MS = 20_000;

/** Shares of the devices' timeout in which a reply may leave, and that a hello may have waited. */
const REPLY_SHARE = 0.9;
const STALE_SHARE = 0.2;

const MAX_BREACHES = 20;

/**
 * @typedef {object} Request
 * @property {number} number names it; no two requests of a world have the same.
 * @property {string} device
 * @property {string} endpoint from which it is sent.
 * @property {string} action
 * @property {boolean} noreturn
 * @property {string} payload
 * @property {number} beganAt
 * @property {number | undefined} sealedAt
 * @property {number} executions
 * @property {number} replies
 * @property {import('./device.mjs').Ending | 'noreturn' | undefined} ending
 * @property {number | undefined} endedAt
 */

export class Ledger {
  /** @type {string[]} */
  breaches = [];
  /** @type {Request[]} by their numbers. */
  requests = [];
  counts = {
    delivered: 0,
    hellosAnswered: 0,
    accepted: 0,
    rejected: /** @type {Record<string, number>} */ ({}),
    sent: 0,
    replies: 0,
    executions: 0,
  };
  /** What each endpoint was sent. */
  #endpoints = new Map();
  /** The datagram that is being read. */
  #reading;
  /** The request datagram that was accepted last; its handler runs before the next is read. */
  #lastAccepted;
  #rules;
  #now;
  #openReply;

  /**
   * @param {() => number} now
   * @param {(endpoint: string, ciphertext: Buffer, iv: Buffer) => string | undefined} openReply with the keys of whoever is
   * or was at that endpoint.
   */
  constructor(now, openReply) {
    this.#now = now;
    this.#openReply = openReply;
  }

  /** A server starts; what was owed by the one before is void. */
  beginServer({ timeoutMs, datagramGap }) {
    this.#rules = { timeoutMs, datagramGap };
    this.#endpoints.clear();
    this.server = { delivered: 0, hellosAnswered: 0, accepted: 0, rejected: 0, isClosing: false };
  }

  breach(text) {
    if (this.breaches.length < MAX_BREACHES) {
      this.breaches.push(`at ${this.#now().toFixed(3)} ms: ${text}`);
    }
  }

  /** @returns {Request} */
  openRequest(details) {
    const request = {
      number: this.requests.length,
      beganAt: this.#now(),
      sealedAt: undefined,
      executions: 0,
      replies: 0,
      ending: undefined,
      endedAt: undefined,
      ...details,
    };
    this.requests.push(request);
    return request;
  }

  onRead(datagram, { address, port }, arrivedAt, now) {
    const isHello = datagram.toString('latin1') === '/GETID';
    this.counts.delivered++;
    this.server.delivered++;
    this.#reading = { endpoint: `${address}|${port}`, isHello, arrivedAt, now, sent: 0, bytes: 0, rejections: 0 };
  }

  onRejected(reason) {
    this.counts.rejected[reason] = (this.counts.rejected[reason] ?? 0) + 1;
    if (!this.#reading || this.#reading.rejections++ > 0) {
      this.breach(`a rejection (${reason}) without a datagram of its own`);
    }
  }

  /** @returns {boolean} whether the datagram leads to more than what has happened by now. */
  onReadEnd() {
    const { isHello, endpoint, rejections, sent, bytes, arrivedAt, now } = this.#reading;
    const reading = this.#reading;
    this.#reading = undefined;
    if (rejections === 1) {
      this.server.rejected++;
      if (sent > 0) {
        this.breach(`${endpoint} was answered and rejected`);
      }
      return false;
    }
    if (isHello) {
      this.counts.hellosAnswered++;
      this.server.hellosAnswered++;
      this.#checkHelloAnswer(endpoint, sent, bytes, now - arrivedAt);
      this.#bookOf(endpoint).helloAnswered++;
      return this.#rules.datagramGap > 0;
    }
    this.counts.accepted++;
    this.server.accepted++;
    if (sent > 0) {
      this.breach(`${endpoint} was sent ${bytes} bytes for a datagram before anything had verified`);
    }
    this.#lastAccepted = reading;
    return true;
  }

  #checkHelloAnswer(endpoint, sent, bytes, waited) {
    if (sent < 1 || sent > 2 || bytes !== 16 * sent || (this.#rules.datagramGap > 0 && sent !== 1)) {
      this.breach(`a hello of ${endpoint} was answered with ${sent} datagrams, ${bytes} bytes`);
    }
    if (waited > this.#rules.timeoutMs * STALE_SHARE + UNNOTICED_STALL_MS) {
      this.breach(`a hello of ${endpoint} was answered after it had waited for ${waited.toFixed(1)} ms`);
    }
    if (this.server.isClosing) {
      this.breach(`a hello of ${endpoint} was answered during shutdown`);
    }
  }

  onSend(datagram, { address, port }, now, isBound) {
    const endpoint = `${address}|${port}`;
    const book = this.#bookOf(endpoint);
    this.counts.sent++;
    if (!isBound) {
      this.breach(`${endpoint} was sent something after the socket was closed`);
    }
    if (this.#reading) {
      this.#reading.sent++;
      this.#reading.bytes += datagram.length;
      if (this.#reading.endpoint !== endpoint || !this.#reading.isHello) {
        this.breach(`${endpoint} was sent ${datagram.length} bytes for a datagram of ${this.#reading.endpoint}`);
      }
      book.pairSecondDue += this.#rules.datagramGap > 0 ? 1 : 0;
    } else if (book.triples.length === 0 && book.pairSecondDue > 0 && datagram.length === 16) {
      book.pairSecondDue--;
    } else {
      this.#noteReply(book, endpoint, datagram, now);
    }
  }

  /** Collects datagrams 5 to 7, and looks at them once they are complete. */
  #noteReply(book, endpoint, datagram, now) {
    if (datagram.length === 32 && book.owed > book.triples.length) {
      book.triples.push({ datagrams: [datagram], beganAt: now, isMixed: book.pairSecondDue > 0 });
      return;
    }
    const triple = book.triples[0];
    if (!triple) {
      this.breach(`${endpoint} was sent ${datagram.length} bytes that belong to nothing`);
      return;
    }
    if (book.pairSecondDue > 0 || book.triples.length > 1) {
      triple.isMixed = true;
    }
    triple.datagrams.push(datagram);
    if (triple.datagrams.length === 3) {
      book.triples.shift();
      book.owed--;
      if (!triple.isMixed) {
        this.#checkReply(book, endpoint, triple);
      }
    }
  }

  #checkReply(book, endpoint, { datagrams: [, iv, ciphertext], beganAt }) {
    this.counts.replies++;
    const text = this.#openReply(endpoint, ciphertext, iv);
    const request = text === undefined ? undefined : this.requests[readNumber(text)];
    if (!request) {
      this.breach(`${endpoint} was sent a reply to no request: ${text}`);
      return;
    }
    const accepted = book.accepted.get(request.number);
    if (request.noreturn || !accepted) {
      this.breach(`request ${request.number} of ${request.device} was answered at ${endpoint} without need`);
      return;
    }
    if (++request.replies > 1) {
      this.breach(`request ${request.number} of ${request.device} was answered twice`);
    }
    const age = beganAt - accepted.arrivedAt;
    if (age > this.#rules.timeoutMs * REPLY_SHARE + UNNOTICED_STALL_MS) {
      this.breach(`request ${request.number} of ${request.device} was answered after ${age.toFixed(1)} ms`);
    }
    if (book.helloAnswered !== accepted.helloAnswered) {
      this.breach(`request ${request.number} of ${request.device} was answered although the device had asked anew`);
    }
  }

  /** A handler begins. */
  onExecute(number, payload, { action, endpoint, keyName, isReplyExpected }) {
    this.counts.executions++;
    const request = this.requests[number];
    const accepted = this.#lastAccepted;
    this.#lastAccepted = undefined;
    if (!request || !accepted || accepted.endpoint !== endpoint) {
      this.breach(`a handler ran for ${endpoint}, number ${number}, which nobody sent from there`);
      return;
    }
    if (++request.executions > 1) {
      this.breach(`request ${number} of ${request.device} was executed ${request.executions} times`);
    }
    const isAsSent =
      request.payload === payload &&
      request.action === action &&
      request.noreturn === !isReplyExpected &&
      request.keyName === keyName &&
      request.endpoints.has(endpoint);
    if (!isAsSent) {
      this.breach(`request ${number} of ${request.device} reached its handler as something else`);
    }
    const age = accepted.arrivedAt - (request.sealedAt ?? Infinity);
    if (!(age <= ID_LIFE_MS)) {
      this.breach(`request ${number} of ${request.device} was executed when it was ${age.toFixed(1)} ms old`);
    }
    const book = this.#bookOf(endpoint);
    book.owed += request.noreturn ? 0 : 1;
    book.accepted.set(number, { arrivedAt: accepted.arrivedAt, helloAnswered: book.helloAnswered });
  }

  /** What the program on the device got. */
  closeRequest(request, ending, reply) {
    request.endedAt = this.#now();
    request.ending = ending === 'reply' ? (isRightReply(request, reply) ? 'ok' : 'wrong') : ending;
    if (request.ending === 'wrong') {
      this.breach(`request ${request.number} of ${request.device} got a wrong answer: ${reply}`);
    }
  }

  /** Compares the books with the transport's own counters. */
  compare(stats) {
    const { delivered, hellosAnswered, accepted, rejected } = this.server;
    if (delivered !== hellosAnswered + accepted + rejected) {
      this.breach(`${delivered} datagrams came in, ${hellosAnswered} + ${accepted} + ${rejected} went their ways`);
    }
    const sum = (record) => Object.values(record).reduce((total, count) => total + count, 0);
    const ours = [delivered, hellosAnswered, accepted, rejected];
    const theirs = [stats.received, stats.hellos, stats.requests, sum(stats.rejected)];
    if (ours.join() !== theirs.join() || stats.requests !== sum(stats.outcomes) + stats.inFlight) {
      this.breach(`counted here: ${ours.join()}; by the transport: ${theirs.join()}, ${JSON.stringify(stats)}`);
    }
  }

  #bookOf(endpoint) {
    let book = this.#endpoints.get(endpoint);
    if (!book) {
      book = { helloAnswered: 0, pairSecondDue: 0, owed: 0, triples: [], accepted: new Map() };
      this.#endpoints.set(endpoint, book);
    }
    return book;
  }
}

/** The number of the request that a reply, or an error reply, is for. */
function readNumber(text) {
  const { data, error } = JSON.parse(text);
  return data?.n ?? error?.n;
}

function isRightReply({ number, action, payload }, text) {
  const expected =
    action === 'fail'
      ? { data: null, error: { n: number, message: 'as asked' } }
      : { data: { n: number, p: payload } };
  return text === JSON.stringify(expected);
}
