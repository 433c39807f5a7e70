/**
 * Micro-benchmarks, a program of its own: each part of an exchange is compared with an obvious way to do the same.
 * Ours and the other run in alternate short turns; the result is the median of their CPU times.
 */
import { AsyncResource } from 'node:async_hooks';
import {
  createCipheriv,
  createDecipheriv,
  hash as hashOnce,
  randomBytes,
  randomFillSync,
  timingSafeEqual,
} from 'node:crypto';
import { RequestClient } from '#lib/client/index.js';
import { derivePair, openId, toPair } from '#lib/exchange/index.js';
import { nodePlatform } from '#lib/net/index.js';
import {
  Hmac,
  Sealer,
  decodeUtf8,
  formatEnvelope,
  formatReply,
  parseEnvelope,
  parsePythonText,
  printPythonText,
  readReply,
  unpad,
} from '#lib/protocol/index.js';
import { serve } from './child.mjs';
import { median } from './statistics.mjs';
import { Steps } from './steps.mjs';
import { BLOCK_BYTES, dataOf, keyAt, requestText, sealedLength } from './wire.mjs';

const BOARDS = 256;
const TURN_MS = 10;
const EMPTY = Buffer.alloc(0);
const key = keyAt(0);
const sealer = new Sealer(key);
const endpoint = '127.1.0.1|40000';
const secret = new Hmac(randomBytes(32));

/** Uses the results, so that no computation is compiled away. */
let sink = 0;

/**
 * @typedef {object} Comparison
 * @property {string} name
 * @property {string} baseline what `theirs` does
 * @property {() => number} ours
 * @property {() => number} theirs
 */

/** @typedef {(phase: () => void) => void} Measured runs the phase */

/**
 * @returns {Comparison[]}
 * @param {number} size bytes of data
 */
function compareAt(size) {
  const text = requestText(size, false);
  const value = { action: 'echo', data: dataOf(size) };
  const readings = Array.from({ length: Math.ceil(size / 6) }, (_, index) => 20 + index / 4);
  const readingsText = printPythonText(readings);
  const sealed = sealer.seal(text);
  const envelope = { hash: randomBytes(32), data: sealed.ciphertext, iv: sealed.iv };
  const datagram = formatEnvelope(envelope);
  const json = Buffer.from(JSON.stringify(value));
  const jsonReadings = JSON.stringify(readings);
  const base64 = Buffer.from(formatBase64(envelope));
  return [
    {
      name: 'seal',
      baseline: 'a new cipher, randomBytes and Buffer.from for each text',
      ours: () => sealer.seal(text).ciphertext.length,
      theirs: () => {
        const iv = randomBytes(BLOCK_BYTES);
        const cipher = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
        return cipher.update(Buffer.from(text.padEnd(sealedLength(text.length)))).length;
      },
    },
    {
      name: 'open',
      baseline: 'a new decipher for each text, then toString and trim',
      ours: () => decodeUtf8(unpad(sealer.open(sealed.ciphertext, sealed.iv)) ?? EMPTY)?.length ?? 0,
      theirs: () => {
        const decipher = createDecipheriv('aes-256-cbc', key, sealed.iv).setAutoPadding(false);
        return decipher.update(sealed.ciphertext).toString().trim().length;
      },
    },
    {
      name: 'parse envelope',
      baseline: 'JSON.parse of the same in base64',
      ours: () => {
        const parsed = parseEnvelope(datagram);
        return typeof parsed === 'string' ? 0 : parsed.data.length;
      },
      theirs: () => {
        const { hash, data, iv } = JSON.parse(base64.toString());
        return (
          Buffer.from(hash, 'base64').length + Buffer.from(data, 'base64').length + Buffer.from(iv, 'base64').length
        );
      },
    },
    {
      name: 'format envelope (board, client)',
      baseline: 'JSON.stringify of the same in base64',
      ours: () => formatEnvelope(envelope).length,
      theirs: () => Buffer.from(formatBase64(envelope)).length,
    },
    {
      name: 'parse Python text, a request',
      baseline: 'JSON.parse',
      ours: () => /** @type {{ data: string }} */ (parsePythonText(text)).data.length,
      theirs: () => JSON.parse(json.toString()).data.length,
    },
    {
      name: 'parse Python text, a list of floats',
      baseline: 'JSON.parse',
      ours: () => /** @type {number[]} */ (parsePythonText(readingsText)).length,
      theirs: () => JSON.parse(jsonReadings).length,
    },
    {
      name: 'print Python text, a request',
      baseline: 'JSON.stringify',
      ours: () => printPythonText(value).length,
      theirs: () => JSON.stringify(value).length,
    },
    {
      name: 'format reply',
      baseline: 'JSON.stringify',
      ours: () => formatReply(value.data, 4096).length,
      theirs: () => JSON.stringify({ data: value.data }).length,
    },
  ];
}

/** Stands for the handling of a request. */
const answer = (/** @type {number} */ value) => value + sink;

/** Levels of a reply of some 65 kB that is lists inside lists: the longest that a peer can send. */
const LEVELS = 32_000;

/** @returns {Comparison[]} what does not depend on the data */
function compareFixed() {
  const nested = `{"data":${'['.repeat(LEVELS)}9007199254740993${']'.repeat(LEVELS)}}`;
  const pair = toPair(derivePair(secret, endpoint, 1, 0));
  return [
    {
      name: 'id pair',
      baseline: 'upstream: a random number, sealed with a new cipher',
      ours: () => toPair(derivePair(secret, endpoint, 1, 0)).iv.length,
      theirs: () => {
        const iv = randomBytes(BLOCK_BYTES);
        const id = String(Math.floor(Math.random() * 1e11)).padEnd(BLOCK_BYTES);
        return createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false).update(Buffer.from(id)).length;
      },
    },
    {
      name: 'id of a pair',
      baseline: 'a new decipher',
      ours: () => openId(sealer, pair).length,
      theirs: () => {
        const decipher = createDecipheriv('aes-256-cbc', key, pair.iv).setAutoPadding(false);
        return decipher.update(pair.ciphertext).toString('latin1').trim().length;
      },
    },
    {
      name: 'async scope of a request',
      baseline: 'the call alone',
      ours: () => new AsyncResource('BenUdpRequest').runInAsyncScope(answer, undefined, 1),
      theirs: () => answer(1),
    },
    {
      name: 'read a reply of 64 kB of nested lists, with a big int (client)',
      baseline: 'JSON.parse, which rounds it',
      ours: () => ('data' in readReply(nested) ? 1 : 0),
      theirs: () => ('data' in JSON.parse(nested) ? 1 : 0),
    },
  ];
}

/**
 * The whole server step, compared with the calls of node:crypto that it can't do without: two hashes for the pair, one block and
 * one text decrypted, one text encrypted, two more hashes and a comparison.
 *
 * @param {number} size bytes of data
 * @returns {{ ours: (measured: Measured) => void, theirs: (measured: Measured) => void }}
 */
function compareStep(size) {
  const steps = new Steps({ boards: BOARDS, dataBytes: size });
  steps.introduce();
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const cipher = createCipheriv('aes-256-cbc', key, zeros).setAutoPadding(false);
  const decipher = createDecipheriv('aes-256-cbc', key, zeros).setAutoPadding(false);
  const request = Buffer.alloc(sealedLength(requestText(size, false).length));
  const reply = Buffer.alloc(BLOCK_BYTES + sealedLength(size + 11));
  const random = Buffer.alloc(BLOCK_BYTES);
  const pairName = Buffer.alloc(96);
  const crypto = () => {
    for (let count = 0; count < 2; count++) {
      sink += hashOnce('sha256', pairName, 'binary').length;
      sink += hashOnce('sha256', request, 'binary').length;
    }
    sink += decipher.update(zeros).length;
    sink += timingSafeEqual(zeros, zeros) ? 1 : 0;
    sink += decipher.update(request).length;
    randomFillSync(random);
    sink += cipher.update(reply).length;
  };
  return { ours: (measured) => steps.exchangeAll(measured), theirs: (measured) => measured(() => repeat(crypto)) };
}

/** Requests of a client's queue in two sizes: if the cost of cancelling one grew with the queue, the second would show it. */
const QUEUED = [20_000, 2_000];

/**
 * CPU time to cancel one queued request, in µs.
 *
 * @param {number} turns
 */
async function measureCancelling(turns) {
  /** @type {[number[], number[]]} */
  const times = [[], []];
  for (let turn = 0; turn < turns; turn++) {
    for (const [index, count] of QUEUED.entries()) {
      times[index].push((await cancelAll(count)) / count);
    }
  }
  const [many, few] = QUEUED.map((count) => count.toLocaleString('en'));
  return toRow(`cancel one of ${many} queued requests (client)`, `one of ${few}`, times);
}

/** @param {number} count */
async function cancelAll(count) {
  const options = {
    host: '127.0.0.1',
    // Discard: nothing is asked for here, and the one request that leaves the queue gets no answer.
    port: 9,
    localAddress: '127.0.0.1',
    localPort: 0,
    bufferSize: 8192,
    maxSockets: 1,
    maxQueue: count,
    idleTimeout: 1000,
  };
  const client = await RequestClient.create(options, sealer, { onIgnored() {}, onError() {} }, nodePlatform);
  const request = { text: 'x', noreturn: false, pattern: 'x', timeout: 60_000, retries: 0, idempotent: false };
  const controllers = Array.from({ length: count }, () => new AbortController());
  const settled = Promise.allSettled(controllers.map(({ signal }) => client.request(request, signal)));
  // The middle of the queue first, so that neither end helps.
  const inThisOrder = [...controllers.slice(count / 2), ...controllers.slice(0, count / 2)];
  const time = cpuMicroseconds(() => inThisOrder.forEach((controller) => controller.abort()));
  await settled;
  await client.close();
  return time;
}

/** @param {() => void} work */
function repeat(work) {
  for (let count = 0; count < BOARDS; count++) {
    work();
  }
}

/** @param {() => void} work */
function cpuMicroseconds(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/**
 * CPU time of one call, in µs: the median of turns of equal length.
 *
 * @param {Comparison} comparison
 * @param {number} turns
 */
function compareCalls({ name, baseline, ours, theirs }, turns) {
  const counts = [ours, theirs].map(calibrate);
  /** @type {[number[], number[]]} */
  const times = [[], []];
  for (let turn = 0; turn < turns; turn++) {
    [ours, theirs].forEach((work, index) => {
      const time = cpuMicroseconds(() => {
        for (let call = 0; call < counts[index]; call++) {
          sink += work();
        }
      });
      times[index].push(time / counts[index]);
    });
  }
  return toRow(name, baseline, times);
}

/**
 * How many calls fill a turn, once compiled.
 *
 * @param {() => number} work
 */
function calibrate(work) {
  let calls = 1;
  for (;;) {
    const before = performance.now();
    for (let call = 0; call < calls; call++) {
      sink += work();
    }
    const took = performance.now() - before;
    if (took > TURN_MS) {
      return Math.max(1, Math.round((calls * TURN_MS) / took));
    }
    calls *= 2;
  }
}

/**
 * @param {number} size bytes of data
 * @param {number} turns
 */
function compareSteps(size, turns) {
  const { ours, theirs } = compareStep(size);
  /** @type {[number[], number[]]} */
  const times = [[], []];
  for (let turn = -turns; turn < turns * 2; turn++) {
    [ours, theirs].forEach((work, index) => {
      let time = 0;
      work((phase) => {
        time += cpuMicroseconds(phase);
      });
      if (turn >= 0) {
        times[index].push(time / BOARDS);
      }
    });
  }
  return toRow('whole server step, without a socket', 'its calls of node:crypto alone', times);
}

/**
 * @param {string} name
 * @param {string} baseline
 * @param {[number[], number[]]} times
 */
function toRow(name, baseline, [ours, theirs]) {
  return {
    name,
    baseline,
    microseconds: median(ours),
    baselineMicroseconds: median(theirs),
    ratio: median(ours.map((time, turn) => time / theirs[turn])),
  };
}

/** @param {import('#lib/protocol/index.js').Envelope} envelope */
function formatBase64({ hash, data, iv }) {
  return JSON.stringify({
    hash: hash.toString('base64'),
    data: data.toString('base64'),
    iv: iv.toString('base64'),
  });
}

const functions = {
  run: async (/** @type {{ sizes: number[], turns: number }} */ { sizes, turns }) => {
    const rows = [
      { size: undefined, ...(await measureCancelling(turns)) },
      ...compareFixed().map((comparison) => ({ size: undefined, ...compareCalls(comparison, turns) })),
      ...sizes.flatMap((size) => [
        ...compareAt(size).map((comparison) => ({ size, ...compareCalls(comparison, turns) })),
        { size, ...compareSteps(size, turns) },
      ]),
    ];
    return { rows, sink };
  },
};

/** @typedef {typeof functions} MicroFunctions */

serve(functions);
