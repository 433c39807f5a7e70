/**
 * A board without hardware: runs benclient.py on the real MicroPython interpreter, against the server of `npm start`.
 * Settings: BEN_HOST, BEN_PORT, BEN_KEY_FILE.
 */
import { readFile } from 'node:fs/promises';
import { MicroPythonBoard } from '../../tools/micropython/board.mjs';

const TIMEOUT_MS = 3000;

const host = process.env.BEN_HOST ?? '127.0.0.1';
const port = Number(process.env.BEN_PORT ?? 8585);
const keyFile = process.env.BEN_KEY_FILE ?? 'key.sec';

const REQUESTS = [
  { about: 'Asks for its own words back', request: '{"action": "echo", "data": "hello from MicroPython"}' },
  { about: 'Asks for the temperature', request: '{"action": "temperature"}' },
  {
    about: 'Reports a measurement and does not wait for an answer',
    request: '{"action": "dhtsensor", "data": {"temperature": 30, "humidity": 50}}',
    noreturn: true,
  },
];

class UserError extends Error {}

async function readKey() {
  try {
    return await readFile(keyFile);
  } catch (error) {
    throw new UserError(
      `Can't read the key file "${keyFile}" (${/** @type {NodeJS.ErrnoException} */ (error).code}). Board and server need the same file: ` +
        'start the server first, or name its file in BEN_KEY_FILE.',
    );
  }
}

/** Any local address, because the server may be on another machine. */
async function startBoard() {
  const key = await readKey();
  return MicroPythonBoard.start({ key, host, port, timeoutMs: TIMEOUT_MS, localAddress: '0.0.0.0' });
}

/** @param {MicroPythonBoard} board */
async function talk(board) {
  console.log(`MicroPython ${board.version} runs sample/device/benclient.py; the server is ${host}:${port}.`);
  for (const { about, request, noreturn = false } of REQUESTS) {
    console.log(`\n${about}:`);
    console.log(`  client.send(${request}${noreturn ? ', noreturn=True' : ''})`);
    console.log(`  -> ${await board.send(request, { noreturn })}`);
  }
}

/** @param {Error & { type?: string }} error */
function explain(error) {
  if (error instanceof UserError) {
    return error.message;
  }
  if (error.type === 'OSError' && error.message.includes('ETIMEDOUT')) {
    return (
      `The server at ${host}:${port} did not answer within ${TIMEOUT_MS / 1000} s. Does it run (npm start), ` +
      `is this its address (BEN_HOST, BEN_PORT), and is "${keyFile}" its key file (BEN_KEY_FILE)?`
    );
  }
  return error.stack;
}

let board;
try {
  board = await startBoard();
  await talk(board);
} catch (error) {
  console.error(`\n${explain(/** @type {Error} */ (error))}`);
  process.exitCode = 1;
} finally {
  await board?.close();
}
