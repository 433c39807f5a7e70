/**
 * A server with the defaults of the transport and without Nest: for `listen`, and for the loopback exchange of `doctor`.
 */
import {
  DEFAULT_BUFFER_SIZE,
  DEFAULT_MAX_ENDPOINTS,
  DEFAULT_MAX_IN_FLIGHT,
  DEFAULT_MAX_IN_FLIGHT_PER_DEVICE,
  DEFAULT_MAX_QUEUED_EVENTS,
  DEFAULT_MAX_RESULT_BYTES,
  DEFAULT_RECEIVE_BUFFER_SIZE,
  DEFAULT_TIMEOUT_MS,
} from '../constants.js';
import { BenUdpError } from '../errors.js';
import { DEFAULT_LIMITS } from '../exchange/index.js';
import { KeyRing } from '../keys/index.js';
import type { Platform } from '../net/index.js';
import { formatErrorReply, formatReply } from '../protocol/index.js';
import { type Answer, Listener, type ListenerHandlers, toBindError } from '../server/index.js';
import { CliFailure } from './command.js';
import { PROGRAM } from './text.js';

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
      maxResultBytes: DEFAULT_MAX_RESULT_BYTES,
      limits: DEFAULT_LIMITS,
      repair: true,
    },
    new KeyRing([{ device: undefined, key }]),
    handlers,
    platform,
  );
}

/** The answer with `data`, or an error reply if `data` has no JSON form. */
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
 * Explains why a socket could not be bound, with the hint of the library.
 *
 * @param failure the error of the system, or the listener's error around it.
 */
export function explainBind(failure: Error, host: string, port: number): CliFailure {
  const error = failure instanceof BenUdpError ? failure : toBindError(failure, { host, port });
  const [message, hint = ''] = error.message.split('\n') as [string, string?];
  const { code } = error.cause as NodeJS.ErrnoException;
  const isOwn = `If it is your own server, there is no problem: try "${PROGRAM} send 127.0.0.1:${port} echo".\n`;
  return new CliFailure(message, {
    ...(code !== undefined && { code }),
    hint: `${code === 'EADDRINUSE' ? isOwn : ''}${hint.replaceAll('. ', '.\n')}.`,
  });
}
