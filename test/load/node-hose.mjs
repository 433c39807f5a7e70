/** Replaces hose.c if that can't be compiled: same arguments, same result, fewer sources. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Random } from '#lib/testing/random.js';

const MAX_SOURCES = 200;
const TICK_MS = 2;
/** Sent without letting answers be read. */
const MAX_BATCH = 500;
const LISTEN_ON_MS = 3000;

const [kind] = process.argv.slice(5);
const [port, rate, seconds, , wanted, seed] = process.argv.slice(2).map(Number);
const random = new Random(seed);
const count = { sent: 0, refused: 0, returned: 0, returnedBytes: 0, late: 0 };
let endedAt = Infinity;

/** @param {number} length */
const letters = (length) => Buffer.alloc(length, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.slice(random.below(20)));
/** @type {Record<string, () => Buffer>} */
const KINDS = {
  hello: () => Buffer.from('/GETID'),
  junk: () =>
    Buffer.from(
      `{'hash': b'${random.bytes(16).toString('hex')}', 'data': b'${letters(3984)}', 'iv': b'${letters(16)}'}`,
    ),
  noise: () => Buffer.concat([Buffer.from('!'), random.bytes(random.below(1400))]),
};
/** Made before it counts. */
const datagrams = Array.from({ length: 256 }, KINDS[kind]);

/** @param {number} index */
async function open(index) {
  const socket = createSocket({ type: 'udp4', lookup: (host, _options, callback) => callback(null, host, 4) });
  // With this lookup the socket is bound before `bind` returns.
  const listening = once(socket, 'listening');
  socket.bind(0, `127.128.${index >> 8}.${1 + (index & 255)}`);
  await listening;
  const source = { socket, returned: 0 };
  socket.on('message', ({ length }) => {
    source.returned++;
    count.returned++;
    count.returnedBytes += length;
    count.late += Number(performance.now() - endedAt > 1000);
  });
  return source;
}

const sources = await Promise.all(Array.from({ length: Math.min(wanted, MAX_SOURCES) }, (_, index) => open(index)));
const beganAt = performance.now();
/** @type {Promise<void>} */
const flooded = new Promise((resolve) => {
  const timer = setInterval(() => {
    const elapsed = (performance.now() - beganAt) / 1000;
    if (elapsed >= seconds) {
      clearInterval(timer);
      resolve();
      return;
    }
    for (let batch = 0; batch < MAX_BATCH && count.sent < elapsed * rate; batch++, count.sent++) {
      sources[count.sent % sources.length].socket.send(random.pick(datagrams), port, '127.0.0.1');
    }
  }, TICK_MS);
});
await flooded;
endedAt = performance.now();
await new Promise((resolve) => setTimeout(resolve, LISTEN_ON_MS));
const mostForOneSource = Math.max(...sources.map(({ returned }) => returned));
console.log(JSON.stringify({ ...count, seconds: (endedAt - beganAt) / 1000, mostForOneSource }));
sources.forEach(({ socket }) => socket.close());
