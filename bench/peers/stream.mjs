/**
 * A connection of a device to its server: TCP, with TLS if there is a certificate to trust.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { HOST, addressOf } from '../support/wire.mjs';
import { SERVER_NAME } from './certificate.mjs';

/**
 * Made once for all devices, because a real device has only its own to make.
 *
 * @param {{ ca?: string | undefined }} options
 */
export function createTrust({ ca }) {
  return ca === undefined ? undefined : createSecureContext({ ca });
}

/**
 * @param {number} index of the device, which has an address of its own
 * @param {number} port
 * @param {import('node:tls').SecureContext | undefined} trust as from `createTrust`
 * @returns {Promise<import('node:net').Socket>} a socket that is connected, its handshake done
 */
export async function openStream(index, port, trust) {
  const target = { port, host: HOST, localAddress: addressOf(index), noDelay: true };
  if (trust === undefined) {
    const socket = connect(target);
    await once(socket, 'connect');
    return socket;
  }
  const socket = connectTls({ ...target, secureContext: trust, servername: SERVER_NAME });
  // `tls.connect` ignores the option of this name.
  socket.setNoDelay();
  await once(socket, 'secureConnect');
  return socket;
}
