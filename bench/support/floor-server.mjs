/**
 * The floor: a bare UDP server that gets and sends the datagrams of an exchange, and does nothing else. No server of this
 * protocol on node:dgram can take less.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { BLOCK_BYTES, HASH_BYTES, HELLO, HOST, replyLength } from './wire.mjs';

/**
 * @param {object} options
 * @param {number} options.dataBytes
 * @param {boolean} options.noreturn
 * @param {boolean} [options.defaultLookup] leaves the lookup of addresses to Node, as a first version of such a server does
 * @param {() => void} onExchange
 * @returns {Promise<number>} the port
 */
export async function startFloor({ dataBytes, noreturn, defaultLookup }, onExchange) {
  const block = randomBytes(BLOCK_BYTES);
  const hash = randomBytes(HASH_BYTES);
  const reply = randomBytes(replyLength(dataBytes));
  /** @type {import('node:dgram').SocketOptions['lookup']} */
  const lookup = (hostname, _options, callback) => callback(null, hostname, 4);
  const socket = createSocket(defaultLookup ? { type: 'udp4' } : { type: 'udp4', lookup });
  socket.on('message', (datagram, { port, address }) => {
    if (datagram.length === HELLO.length) {
      socket.send(block, port, address);
      socket.send(block, port, address);
      return;
    }
    onExchange();
    if (!noreturn) {
      socket.send(hash, port, address);
      socket.send(block, port, address);
      socket.send(reply, port, address);
    }
  });
  // With this lookup the socket listens before `bind` returns, so an event that is awaited after that has passed.
  await new Promise((resolve) => socket.bind({ address: HOST, port: 0 }, () => resolve(undefined)));
  socket.setRecvBufferSize(4_194_304);
  return socket.address().port;
}
