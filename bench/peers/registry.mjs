/**
 * Who is compared, one line each. A new peer is a line here, a server in `support/server.mjs` and a device in `support/peers.mjs`.
 */

/**
 * @typedef {object} PeerLine
 * @property {string} name
 * @property {import('../support/rounds.mjs').Variant['kind']} kind
 * @property {'UDP' | 'TCP'} over without namespaces, only UDP can be delayed and counted
 * @property {string} protects the way on which nobody else can read or change the data
 * @property {string[]} [needs] programs besides Node
 * @property {boolean} [isTls] has a certificate
 * @property {boolean} [keepsAlive]
 * @property {number} [maxPeers]
 */

/** The one that all others are compared with. */
export const BASE_NAME = 'BenUdp v1';

/** @type {PeerLine[]} */
export const PEERS = [
  // Its replies are sealed, but not authentic.
  { name: BASE_NAME, kind: 'ben', over: 'UDP', protects: 'requests' },
  { name: 'BenUdp v2', kind: 'v2', over: 'UDP', protects: 'both ways' },
  // A second board would end it, see `findUpstreamsEnd`.
  { name: 'upstream, rebuilt', kind: 'upstream', over: 'UDP', protects: 'requests', maxPeers: 1 },
  { name: 'CoAP', kind: 'coap', over: 'UDP', protects: 'nothing' },
  { name: 'Nest TCP', kind: 'tcp', over: 'TCP', protects: 'nothing' },
  { name: 'MQTT', kind: 'mqtt', over: 'TCP', protects: 'nothing', needs: ['mosquitto'] },
  {
    name: 'MQTT, TLS',
    kind: 'mqtt',
    over: 'TCP',
    protects: 'up to the broker',
    needs: ['mosquitto', 'openssl'],
    isTls: true,
  },
  { name: 'HTTP, new connection', kind: 'http', over: 'TCP', protects: 'nothing' },
  { name: 'HTTP, kept', kind: 'http', over: 'TCP', protects: 'nothing', keepsAlive: true },
  { name: 'HTTPS, new connection', kind: 'http', over: 'TCP', protects: 'both ways', needs: ['openssl'], isTls: true },
  {
    name: 'HTTPS, kept',
    kind: 'http',
    over: 'TCP',
    protects: 'both ways',
    needs: ['openssl'],
    isTls: true,
    keepsAlive: true,
  },
];
