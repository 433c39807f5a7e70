/** Settings from the environment. An empty variable counts as unset. */
const NATS_URL = new URL(process.env['NATS_URL'] || 'nats://127.0.0.1:4222');
export const BEN_HOST = process.env['BEN_HOST'] || '0.0.0.0';
export const BEN_PORT = Number(process.env['BEN_PORT'] || 8585);
export const KEY_FILE = process.env['BEN_KEY_FILE'] || 'key.sec';
export const KNOWN_BOARDS_FILE = process.env['KNOWN_BOARDS_FILE'] || 'known-boards';

/** NATS restarts within seconds, so nobody gives up, and everybody is back soon. */
export const NATS_OPTIONS = {
  servers: NATS_URL.host,
  // The library takes no password from an address.
  ...(NATS_URL.username !== '' && { user: NATS_URL.username, pass: decodeURIComponent(NATS_URL.password) }),
  maxReconnectAttempts: -1,
  reconnectTimeWait: 250,
  // The library gives up for ever if NATS refuses the same password twice, as it may while passwords are changed.
  ignoreAuthErrorAbort: true,
  // A machine that vanishes closes no connection. The default of the library notices that after 6 minutes.
  pingInterval: 2000,
  maxPingOut: 2,
};
