/**
 * Defaults and the transport's name.
 */

/**
 * Names this transport in `@MessagePattern(pattern, BEN_UDP_TRANSPORT)`, so a hybrid app binds the handler to this transport only.
 * Every copy of this package has the same symbol.
 */
export const BEN_UDP_TRANSPORT: unique symbol = Symbol.for('nestjs-ben-udp');

/** The pattern of the transport's own `ping` in exchange events, so metrics and traces can leave it out. */
export const BEN_UDP_HEALTH_PATTERN = 'nestjs-ben-udp/health';

/** Upstream's example binds to every address. */
export const DEFAULT_HOST = '0.0.0.0';

/** Upstream's port in its examples. */
export const DEFAULT_PORT = 8585;

/** Milliseconds for which a device waits for each datagram: upstream's `timeout=10`. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/** Bytes a device can receive in one datagram: upstream's `buffersize=4096`. */
export const DEFAULT_BUFFER_SIZE = 4096;

/** Milliseconds between the datagrams of one answer. */
export const DEFAULT_DATAGRAM_GAP_MS = 0;

/** Further attempts to bind a port that is in use. */
export const DEFAULT_RETRY_ATTEMPTS = 5;

/** Milliseconds between attempts to bind. */
export const DEFAULT_RETRY_DELAY_MS = 200;

/** Milliseconds that running handlers get when the app shuts down. */
export const DEFAULT_SHUTDOWN_TIMEOUT_MS = 10_000;

/** Verified endpoints that the server remembers. */
export const DEFAULT_MAX_ENDPOINTS = 65_536;

/** Bytes requested from the system for unread datagrams. The usual default of a system holds about 250 hellos. */
export const DEFAULT_RECEIVE_BUFFER_SIZE = 4_194_304;

/** Handlers that may run at once. */
export const DEFAULT_MAX_IN_FLIGHT = 10_000;

/** Handlers that may run at once for one device. */
export const DEFAULT_MAX_IN_FLIGHT_PER_DEVICE = 16;

/** Events of one device that may wait for its handlers. */
export const DEFAULT_MAX_QUEUED_EVENTS = 32;

/** Bytes of all replies of protocol v2 that are kept to be sent again. */
export const DEFAULT_MAX_RESULT_BYTES = 16_777_216;

/** The least `bufferSize`: an error reply still fits. */
export const MIN_BUFFER_SIZE = 256;

/** The same for a device of protocol v2, which reports its buffer in units of this. */
export const MIN_V2_BUFFER_SIZE = 512;

/** The address of the server that a client uses by default. */
export const DEFAULT_SERVER_HOST = '127.0.0.1';

/** Sockets, and so concurrent exchanges, of a client. */
export const DEFAULT_MAX_SOCKETS = 8;

/** Requests of a client that may wait for a socket. */
export const DEFAULT_MAX_QUEUE = 1000;

/** Milliseconds after which a client closes an unused socket. */
export const DEFAULT_IDLE_TIMEOUT_MS = 30_000;

/** 31 days: the longest silence, and the longest time for which results and boards are remembered. */
export const MONTH_MS = 2_678_400_000;

/** One day: the longest time of options that become one timer. Node fires a timer of more than 24 days at once. */
export const MAX_OPTION_MS = 86_400_000;
