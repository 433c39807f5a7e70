/**
 * How many boards with a real interpreter this machine takes, and whether one server answers them all: every board has a
 * MicroPython VM in a thread of its own and sends echo requests one after the other, all boards at once.
 *
 *     npm run bench:boards -- --boards 1,5,50,200 --exchanges 20
 *
 * Every board has an address of its own in 127.0.0.0/8 (Linux; other systems need --nat); with --nat all have 127.0.0.1, as
 * boards behind one NAT have.
 *
 * Ends with exit code 1 if a reply was wrong or missing.
 */
import { parseArgs } from 'node:util';
import { Logger } from '@nestjs/common';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { MicroPythonBoard, PythonError } from '../tools/micropython/board.mjs';

const { values } = parseArgs({
  options: {
    boards: { type: 'string', default: '1,5,50,200' },
    exchanges: { type: 'string', default: '20' },
    nat: { type: 'boolean', default: false },
  },
});
const boardCounts = values.boards.split(',').map((text) => readCount('boards', text));
const exchanges = readCount('exchanges', values.exchanges);

const key = Buffer.alloc(32, 'k');

/**
 * @param {string} option
 * @param {string} text
 */
function readCount(option, text) {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) {
    console.error(`--${option}: expected a number from 1, got "${text}"`);
    process.exit(1);
  }
  return count;
}

async function startServer() {
  Logger.overrideLogger(false);
  const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, key });
  transport.addHandler('echo', async (data) => data);
  await /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => transport.listen((error) => (error ? reject(error) : resolve())))
  );
  return transport;
}

/**
 * @param {number} port
 * @param {number} index
 */
function startBoard(port, index) {
  const localAddress = values.nat ? '127.0.0.1' : `127.1.${index >> 8}.${index & 255}`;
  return MicroPythonBoard.start({ key, port, localAddress });
}

/**
 * Every answer names its question, so that another board's answer or an earlier one counts as wrong.
 *
 * @param {MicroPythonBoard} board
 * @param {number} name
 * @param {{ right: number, wrong: number, lost: number }} tally
 */
async function talk(board, name, tally) {
  for (let index = 0; index < exchanges; index++) {
    const text = `'board ${name}, exchange ${index}'`;
    try {
      const answer = await board.send(`{"action": "echo", "data": ${text}}`);
      tally[answer === text ? 'right' : 'wrong']++;
    } catch (error) {
      if (!(error instanceof PythonError && error.type === 'OSError')) {
        throw error;
      }
      tally.lost++;
    }
  }
}

/**
 * @param {number} port
 * @param {number} count
 */
async function measure(port, count) {
  const beginning = performance.now();
  const boards = await Promise.all(Array.from({ length: count }, (_, index) => startBoard(port, index)));
  const started = performance.now();
  const tally = { right: 0, wrong: 0, lost: 0 };
  await Promise.all(boards.map((board, index) => talk(board, index, tally)));
  const seconds = (performance.now() - started) / 1000;
  const rss = process.memoryUsage().rss;
  await Promise.all(boards.map((board) => board.close()));
  return {
    boards: count,
    'start ms': Math.round(started - beginning),
    'RSS MB': Math.round(rss / 1e6),
    exchanges: count * exchanges,
    'per second': Math.round((count * exchanges) / seconds),
    ...tally,
  };
}

const transport = await startServer();
const { port } = transport.unwrap().address();
const rows = [];
for (const count of boardCounts) {
  rows.push(await measure(port, count));
}
await transport.close();
console.table(rows);
if (rows.some(({ right, exchanges: expected }) => right !== expected)) {
  console.error('Some answers were wrong or lost.');
  process.exitCode = 1;
}
