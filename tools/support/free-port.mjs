/**
 * Finds ports for programs that can't take any free port by themselves.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that Linux gives to sockets which ask for any: none of those gets the port before its program has it. */
const FIRST_PORT = 20_000;
const LAST_PORT = 31_999;

/** @returns {Promise<number>} a port of 127.0.0.1 that is free for UDP and for TCP */
export async function findFreePort() {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if ((await isFreeForUdp(port)) && (await isFreeForTcp(port))) {
      return port;
    }
  }
}

/** @param {number} port */
async function isFreeForUdp(port) {
  const socket = createSocket('udp4');
  const isFree = await succeeds(once(socket.bind(port, '127.0.0.1'), 'listening'));
  socket.close();
  return isFree;
}

/** @param {number} port */
async function isFreeForTcp(port) {
  const server = createServer().listen(port, '127.0.0.1');
  const isFree = await succeeds(once(server, 'listening'));
  if (isFree) {
    server.close();
    await once(server, 'close');
  }
  return isFree;
}

/** @param {Promise<unknown>} event */
function succeeds(event) {
  return event.then(
    () => true,
    () => false,
  );
}
