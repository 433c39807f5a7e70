/**
 * A server for the bench, with the transport's defaults and without Nest: for `listen`, and for the exchange that `doctor` makes
 * with itself.
 */
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_MAX_ENDPOINTS,
  DEFAULT_MAX_IN_FLIGHT,
  DEFAULT_MAX_IN_FLIGHT_PER_DEVICE,
  DEFAULT_MAX_QUEUED_EVENTS,
  DEFAULT_RECEIVE_BUFFER_SIZE,
  DEFAULT_TIMEOUT_MS,
} from '../constants.js';
import { BenUdpError } from '../errors.js';
import { DEFAULT_LIMITS } from '../exchange/index.js';
import { KeyRing } from '../keys/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import type { Platform } from '../net/index.js';
import { formatErrorReply, formatReply } from '../protocol/index.js';
import { type Answer, Listener, type ListenerHandlers } from '../server/index.js';
import { CliFailure } from './command.js';

export interface EchoServerOptions {
  readonly host: string;
  readonly port: number;
  /** 32 bytes. */
  readonly key: Buffer;
  /** Milliseconds between the datagrams of one answer. */
  readonly datagramGap: number;
}

/** @throws BenUdpError as `Listener.bind`. */
export function bindServer(
  { host, port, key, datagramGap }: EchoServerOptions,
  handlers: ListenerHandlers,
  platform: Platform,
): Promise<Listener> {
  return Listener.bind(
    {
      host,
      port,
      datagramGap,
      receiveBufferSize: DEFAULT_RECEIVE_BUFFER_SIZE,
      maxDatagramBytes: DEFAULT_BUFFER_SIZE,
      timeout: DEFAULT_TIMEOUT_MS,
      maxEndpoints: DEFAULT_MAX_ENDPOINTS,
      inFlight: {
        maxInFlight: DEFAULT_MAX_IN_FLIGHT,
        maxInFlightPerDevice: DEFAULT_MAX_IN_FLIGHT_PER_DEVICE,
        maxQueuedEvents: DEFAULT_MAX_QUEUED_EVENTS,
      },
      limits: DEFAULT_LIMITS,
      repair: true,
    },
    new KeyRing([{ device: undefined, key }]),
    handlers,
    platform,
  );
}

/** The answer that says `data`; an error reply where `data` can't be answered. */
export function answerWith(data: unknown): Answer {
  try {
    return { text: formatReply(data, DEFAULT_BUFFER_SIZE), isError: false };
  } catch (error) {
    if (!(error instanceof BenUdpError)) {
      throw error;
    }
    const reply = { status: 'error', message: error.message };
    return { text: formatErrorReply(reply, 'null', DEFAULT_BUFFER_SIZE), isError: true };
  }
}

/**
 * Why a socket could not be bound, and the next step.
 *
 * @param failure the system's error, or the listener's around it.
 */
export function explainBind(failure: Error, host: string, port: number): CliFailure {
  const error = (failure instanceof BenUdpError ? failure.cause : failure) as NodeJS.ErrnoException;
  const { code } = error;
  const where = formatEndpoint(host, port);
  const [what, hint] = describeBindError(error, port);
  return new CliFailure(`${where} ${what}`, { ...(code !== undefined && { code }), hint });
}

function describeBindError({ code, message }: NodeJS.ErrnoException, port: number): [what: string, hint: string] {
  switch (code) {
    case 'EADDRINUSE':
      return [
        'is in use by another program',
        `If that is your own server, all is well: try "nestjs-ben-udp send 127.0.0.1:${port} echo".\n` +
          'Else stop it, or take another --port. To see who it is: "ss -lunp" on Linux, "lsof -nP -iUDP" on macOS,\n' +
          '"netstat -ano -p UDP" on Windows.',
      ];
    case 'EADDRNOTAVAIL':
      return [
        'is no address of this machine',
        'Take --host 0.0.0.0 for all of its addresses; "nestjs-ben-udp doctor" lists them.',
      ];
    case 'EACCES':
      return ['is not allowed for this user', 'Ports below 1024 are often reserved: take --port 8585.'];
    case 'ENOTFOUND':
      return ['is not known by that name', 'Give an address; "nestjs-ben-udp doctor" lists those there are.'];
    default:
      return [`can't be bound: ${message}`, 'Try another --host or --port.'];
  }
}
