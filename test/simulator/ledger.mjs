/**
 * Keeps the books of a simulated world and reports every mismatch: every datagram the server reads or sends, every request
 * a device makes, every handler that runs.
 */

/** A standstill of the server's event loop that it may not notice. */
const UNNOTICED_STALL_MS = 700;

/** A hello sooner than this after another, with no request in between, is a copy of it. Or than this share of the timeout. */
const COPY_MS = 20;
const COPY_SHARE = 0.1;

/** Why a request is rejected that has used up its id. */
const AFTER_USE = ['out-of-step', 'stale-request', 'busy', 'bad-padding', 'bad-utf8', 'bad-text', 'bad-request'];

/** Longest life of an id: its slot and the next. */
const ID_LIFE_MS = 20_000;

/** Shares of the devices' timeout in which a reply may leave, and that a hello may have waited. */
const REPLY_SHARE = 0.98;
const STALE_SHARE = 0.2;

/** With datagrams spaced, a pair looks like a single one until its second is sent, however long the loop stands still. */
const SINGLE_EXPIRES_MS = 20_000;

const MAX_BREACHES = 20;

/**
 * @typedef {object} Request
 * @property {number} number names it; no two requests of a world have the same.
 * @property {string} device
 * @property {string | undefined} keyName
 * @property {string} endpoint from which it is sent.
 * @property {string} action
 * @property {boolean} noreturn
 * @property {string} payload
 * @property {number} beganAt
 * @property {number | undefined} sealedAt
 * @property {string | undefined} id under which it was sealed.
 * @property {number} executions
 * @property {number} replies
 * @property {import('./device.mjs').Ending | undefined} ending
 * @property {number | undefined} endedAt
 */

/**
 * @typedef {object} Reading
 * @property {string} endpoint
 * @property {boolean} isHello
 * @property {boolean} isExecuted
 * @property {number} arrivedAt
 * @property {number} now
 * @property {Buffer[]} sent
 * @property {number} rejections
 * @property {string | undefined} reason of the rejection, if the datagram was rejected.
 */

/**
 * @typedef {object} Rules of a server
 * @property {number} timeoutMs
 * @property {number} datagramGap
 * @property {boolean} isForgetful whether its tables may be too small for all devices
 *
 * @typedef {{ due: number, datagrams: Buffer[], expiresAt: number }} Answer the datagrams that were sent, and how many are due
 * @typedef {Answer & { kind: 'reply', beganAt: number, helloAnswered: number, lastAccepted: number }} ReplyBurst
 * @typedef {ReplyBurst | (Answer & { kind: 'pair' | 'mixed', beganAt?: number })} Burst
 *
 * @typedef {{ address: string, port: number }} Remote
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
    ended: 0,
  };
  /**
   * What each endpoint was sent.
   *
   * @type {Map<string, EndpointBook>}
   */
  #endpoints = new Map();
  /**
   * The datagram that is being read.
   *
   * @type {Reading | undefined}
   */
  #reading;
  /**
   * The request datagram whose handler has not begun; it does before the next is read.
   *
   * @type {Reading | undefined}
   */
  #accepted;
  /** @type {Rules} Set by `beginServer`. */
  #rules;
  server = { delivered: 0, hellosAnswered: 0, accepted: 0, rejected: 0, isClosing: false };
  #now;
  #sealersAt;
  #openId;

  /**
   * @param {() => number} now
   * @param {(endpoint: string) => Iterable<import('#lib/protocol/index.js').Sealer> | undefined} sealersAt with the keys of the devices that
   * are or were there.
   * @param {typeof import('#lib/exchange/index.js').openId} openId the package's function.
   */
  constructor(now, sealersAt, openId) {
    this.#now = now;
    this.#sealersAt = sealersAt;
    this.#openId = openId;
  }

  /**
   * A server starts; it owes nothing that the one before owed.
   *
   * @param {Rules} rules
   */
  beginServer({ timeoutMs, datagramGap, isForgetful }) {
    this.#rules = { timeoutMs, datagramGap, isForgetful };
    this.#endpoints.clear();
    this.server = { delivered: 0, hellosAnswered: 0, accepted: 0, rejected: 0, isClosing: false };
  }

  /** @param {string} text */
  breach(text) {
    if (this.breaches.length < MAX_BREACHES) {
      this.breaches.push(`at ${this.#now().toFixed(3)} ms: ${text}`);
    }
  }

  /**
   * @param {Pick<Request, 'device' | 'keyName' | 'action' | 'noreturn' | 'payload' | 'endpoint'>} details
   * @returns {Request}
   */
  openRequest(details) {
    const request = {
      number: this.requests.length,
      beganAt: this.#now(),
      sealedAt: undefined,
      id: undefined,
      executions: 0,
      replies: 0,
      ending: undefined,
      endedAt: undefined,
      ...details,
    };
    this.requests.push(request);
    return request;
  }

  /**
   * @param {Buffer} datagram
   * @param {Remote} remote
   * @param {number} arrivedAt
   * @param {number} now
   */
  onRead(datagram, { address, port }, arrivedAt, now) {
    const isHello = datagram.toString('latin1') === '/GETID';
    this.counts.delivered++;
    this.server.delivered++;
    this.#reading = {
      endpoint: `${address}|${port}`,
      isHello,
      isExecuted: false,
      arrivedAt,
      now,
      sent: [],
      rejections: 0,
      reason: undefined,
    };
  }

  /** @param {string} reason */
  onRejected(reason) {
    this.counts.rejected[reason] = (this.counts.rejected[reason] ?? 0) + 1;
    if (this.#reading && AFTER_USE.includes(reason)) {
      this.#bookOf(this.#reading.endpoint).helloAnsweredAt = -Infinity;
    }
    if (this.#reading) {
      this.#reading.reason = reason;
    }
    if (!this.#reading && this.server.accepted > 0) {
      // A search among many keys has ended without a key. Its request had been taken for accepted, and the counters must still agree.
      this.counts.accepted--;
      this.server.accepted--;
      this.server.rejected++;
    } else if (!this.#reading || this.#reading.rejections++ > 0) {
      this.breach(`a rejection (${reason}) without a datagram of its own`);
    }
  }

  /** @returns {boolean} whether the datagram leads to more than what has happened by now. */
  onReadEnd() {
    const reading = /** @type {Reading} */ (this.#reading);
    const { isHello, endpoint, rejections, sent } = reading;
    this.#reading = undefined;
    if (rejections === 1) {
      this.server.rejected++;
      if (sent.length > 0 && !isFitRefusal(reading)) {
        this.breach(`${endpoint} was answered and rejected (${reading.reason})`);
      }
      return false;
    }
    if (isHello) {
      this.counts.hellosAnswered++;
      this.server.hellosAnswered++;
      this.#checkHelloAnswer(reading);
      this.#bookOf(endpoint).helloAnswered++;
      return this.#rules.datagramGap > 0;
    }
    this.counts.accepted++;
    this.server.accepted++;
    if (sent.length > 0) {
      this.breach(`${endpoint} was sent ${sent.length} datagrams for one before anything of it had verified`);
    }
    this.#accepted = reading.isExecuted ? undefined : reading;
    return true;
  }

  /** @param {Reading} reading */
  #checkHelloAnswer({ endpoint, sent, arrivedAt, now }) {
    const { timeoutMs, datagramGap } = this.#rules;
    const most = datagramGap > 0 ? 1 : 2;
    if (sent.length < 1 || sent.length > most || sent.some(({ length }) => length !== 16)) {
      this.breach(`a hello of ${endpoint} was answered with datagrams of ${sent.map(({ length }) => length)} bytes`);
    }
    const waited = now - arrivedAt;
    if (waited > timeoutMs * STALE_SHARE + UNNOTICED_STALL_MS) {
      this.breach(`a hello of ${endpoint} was answered after it had waited for ${waited.toFixed(1)} ms`);
    }
    const book = this.#bookOf(endpoint);
    const sinceLast = now - book.helloAnsweredAt;
    if (!this.#rules.isForgetful && book.accepted.size > 0 && sinceLast < Math.min(COPY_MS, timeoutMs * COPY_SHARE)) {
      this.breach(`a hello of ${endpoint} was answered ${sinceLast.toFixed(1)} ms after another`);
    }
    book.helloAnsweredAt = now;
    if (this.server.isClosing) {
      this.breach(`a hello of ${endpoint} was answered during shutdown`);
    }
    const [ciphertext, iv] = sent;
    if (iv) {
      for (const sealer of this.#sealersAt(endpoint) ?? []) {
        const id = this.#openId(sealer, { ciphertext, iv });
        if (book.usedIds.has(id.toString('latin1'))) {
          this.breach(`${endpoint} was sent a pair whose id it has used up`);
        }
      }
    }
  }

  /**
   * @param {Buffer} datagram
   * @param {Remote} remote
   * @param {number} now
   */
  onSend(datagram, { address, port }, now) {
    const endpoint = `${address}|${port}`;
    const book = this.#bookOf(endpoint);
    this.counts.sent++;
    if (this.#reading) {
      this.#reading.sent.push(datagram);
      if (this.#reading.endpoint !== endpoint) {
        this.breach(`${endpoint} was sent ${datagram.length} bytes for a datagram of ${this.#reading.endpoint}`);
      }
      if (this.#rules.datagramGap > 0) {
        const due = datagram.length === 32 ? 2 : 1;
        book.begin({ kind: 'pair', due, datagrams: [], expiresAt: now + SINGLE_EXPIRES_MS });
      }
      return;
    }
    const burst = book.burstAt(now);
    // Nothing else that is sent has 32 bytes: the simulator's replies are longer.
    if (datagram.length === 32) {
      const { helloAnswered, lastAccepted } = book;
      book.begin({
        kind: 'reply',
        due: 2,
        datagrams: [datagram],
        expiresAt: Infinity,
        beganAt: now,
        helloAnswered,
        lastAccepted,
      });
    } else if (!burst) {
      this.breach(`${endpoint} was sent ${datagram.length} bytes that belong to nothing`);
    } else {
      burst.datagrams.push(datagram);
      burst.due--;
      if (burst.due === 0) {
        book.burst = undefined;
        if (burst.kind === 'reply') {
          this.#checkReply(book, endpoint, burst);
        }
      }
    }
  }

  /**
   * @param {EndpointBook} book
   * @param {string} endpoint
   * @param {ReplyBurst} burst
   */
  #checkReply(book, endpoint, { datagrams: [, iv, ciphertext], beganAt, helloAnswered, lastAccepted }) {
    this.counts.replies++;
    const text = this.#openText(endpoint, ciphertext, iv);
    const request = text === undefined ? undefined : this.requests[readNumber(text)];
    const accepted = request && book.accepted.get(request.number);
    if (!request || request.noreturn || !accepted) {
      this.breach(`${endpoint} was sent a reply that no request asked for: ${text}`);
      return;
    }
    const name = `request ${request.number} of ${request.device}`;
    if (++request.replies > 1) {
      this.breach(`${name} was answered twice`);
    }
    const age = beganAt - accepted.arrivedAt;
    if (age > this.#rules.timeoutMs * REPLY_SHARE + UNNOTICED_STALL_MS) {
      this.breach(`${name} was answered after ${age.toFixed(1)} ms`);
    }
    if (helloAnswered !== accepted.helloAnswered || lastAccepted !== request.number) {
      this.breach(`${name} was answered although the device had sent its next request`);
    }
  }

  /**
   * A handler begins.
   *
   * @param {number} number of the request
   * @param {string} payload
   * @param {{ action: string, endpoint: string, keyName: string | undefined, isReplyExpected: boolean }} context
   */
  onExecute(number, payload, { action, endpoint, keyName, isReplyExpected }) {
    this.counts.executions++;
    const request = this.requests[number];
    // It begins while its datagram is being read, or right after that.
    const accepted = this.#reading ?? this.#accepted;
    this.#accepted = undefined;
    if (!request || !accepted || accepted.endpoint !== endpoint || accepted.isHello || accepted.isExecuted) {
      this.breach(`a handler ran for ${endpoint}, number ${number}, which nobody sent from there`);
      return;
    }
    accepted.isExecuted = true;
    if (++request.executions > 1) {
      this.breach(`request ${number} of ${request.device} was executed ${request.executions} times`);
    }
    const isAsSent =
      request.payload === payload &&
      request.action === action &&
      request.noreturn === !isReplyExpected &&
      request.keyName === keyName &&
      request.endpoint === endpoint;
    if (!isAsSent) {
      this.breach(`request ${number} of ${request.device} reached its handler as something else`);
    }
    const age = accepted.arrivedAt - (request.sealedAt ?? Infinity);
    if (!(age <= ID_LIFE_MS)) {
      this.breach(`request ${number} of ${request.device} was executed when it was ${age.toFixed(1)} ms old`);
    }
    const book = this.#bookOf(endpoint);
    book.lastAccepted = number;
    book.helloAnsweredAt = -Infinity;
    book.usedIds.add(request.id);
    book.accepted.set(number, { arrivedAt: accepted.arrivedAt, helloAnswered: book.helloAnswered });
  }

  /**
   * The result for the program on the device.
   *
   * @param {Request} request
   * @param {'reply' | 'noreturn' | 'timeout' | 'error'} ending
   * @param {string} [reply]
   */
  closeRequest(request, ending, reply = '') {
    request.endedAt = this.#now();
    request.ending = ending === 'reply' ? this.#judgeReply(request, reply) : ending;
    if (request.ending === 'wrong') {
      this.breach(`request ${request.number} of ${request.device} got a wrong answer: ${reply}`);
    }
  }

  /**
   * @param {Request} request
   * @param {string} text
   */
  #judgeReply(request, text) {
    if (text === rightReply(request)) {
      return 'ok';
    }
    if (text.includes('"message":"busy: ')) {
      return 'refused';
    }
    const answered = this.requests[readNumber(text)];
    const isStale = answered && answered.id === request.id && text === rightReply(answered);
    return isStale && answered.device === request.device ? 'stale' : 'wrong';
  }

  /**
   * Compares the books with the transport's own counters.
   *
   * @param {import('nestjs-ben-udp').BenUdpStats} stats
   */
  compare(stats) {
    const { delivered, hellosAnswered, accepted, rejected } = this.server;
    if (delivered !== hellosAnswered + accepted + rejected) {
      this.breach(`${delivered} datagrams came in, ${hellosAnswered} + ${accepted} + ${rejected} went their ways`);
    }
    const sum = (/** @type {Readonly<Record<string, number>>} */ record) =>
      Object.values(record).reduce((total, count) => total + count, 0);
    const ours = [delivered, hellosAnswered, accepted, rejected];
    const theirs = [stats.received, stats.hellos, stats.requests, sum(stats.rejected)];
    if (ours.join() !== theirs.join() || stats.requests !== sum(stats.outcomes) + stats.inFlight) {
      this.breach(`counted here: ${ours.join()}; by the transport: ${theirs.join()}, ${JSON.stringify(stats)}`);
    }
  }

  /**
   * Opens a reply with the keys of the devices that are or were at that endpoint.
   *
   * @param {string} endpoint
   * @param {Buffer} ciphertext
   * @param {Buffer} iv
   */
  #openText(endpoint, ciphertext, iv) {
    for (const sealer of this.#sealersAt(endpoint) ?? []) {
      const text = sealer.open(ciphertext, iv).toString('latin1').trimEnd();
      if (text.startsWith('{"data":')) {
        return text;
      }
    }
    return undefined;
  }

  /** @param {string} endpoint */
  #bookOf(endpoint) {
    if (!this.#sealersAt(endpoint)) {
      return STRANGER;
    }
    let book = this.#endpoints.get(endpoint);
    if (!book) {
      book = new EndpointBook();
      this.#endpoints.set(endpoint, book);
    }
    return book;
  }
}

/** What one endpoint was sent, and what for. */
class EndpointBook {
  helloAnswered = 0;
  /** -Infinity if a request has come since. */
  helloAnsweredAt = -Infinity;
  lastAccepted = -1;
  /**
   * Ids under which requests were executed.
   *
   * @type {Set<string | undefined>}
   */
  usedIds = new Set();
  /**
   * When requests came, by their numbers.
   *
   * @type {Map<number, { arrivedAt: number, helloAnswered: number }>}
   */
  accepted = new Map();
  /**
   * An answer whose datagrams are being spaced.
   *
   * @type {Burst | undefined}
   */
  burst;

  /** @param {Burst} burst */
  begin(burst) {
    const open = this.burstAt(burst.beganAt ?? 0);
    // Two answers at once look alike, so only the number of due datagrams is checked.
    this.burst = open ? { ...open, kind: 'mixed', due: open.due + burst.due, expiresAt: Infinity } : burst;
  }

  /**
   * @param {number} now
   * @returns {Burst | undefined}
   */
  burstAt(now) {
    if (this.burst && this.burst.expiresAt < now) {
      this.burst = undefined;
    }
    return this.burst;
  }
}

/** One for all who are no devices, so that a flood of them takes no memory here. A second datagram of a pair may be due anytime. */
const STRANGER = new EndpointBook();
STRANGER.begin = () => undefined;
/** @returns {Burst} */
STRANGER.burstAt = () => ({ kind: 'pair', due: Infinity, datagrams: [], expiresAt: Infinity });

/**
 * The number of the request that a reply, or an error reply, is for.
 *
 * @param {string} text
 * @returns {number}
 */
function readNumber(text) {
  const { data, error } = JSON.parse(text);
  return data?.n ?? error?.n;
}

/** @param {Request} request */
function rightReply({ number, action, payload }) {
  return JSON.stringify(
    action === 'fail' ? { data: null, error: { n: number, message: 'as asked' } } : { data: { n: number, p: payload } },
  );
}

/**
 * The datagrams that a device may get although its request is rejected: the end of its wait, or the reply that the server is busy.
 *
 * @param {Reading} reading
 */
function isFitRefusal({ isHello, reason, sent }) {
  if (isHello) {
    return false;
  }
  return reason === 'busy'
    ? sent.length === 3 || sent[0].length === 32
    : ['out-of-step', 'expired'].includes(reason ?? '') &&
        sent.length <= 2 &&
        sent.every(({ length }) => length === 16);
}
