/**
 * A worker: a server of Nest behind a broker, whose controllers are those of an edge.
 */
import { Logger } from '@nestjs/common';
import type { BaseRpcContext, CustomTransportStrategy, MessageHandler, NatsContext } from '@nestjs/microservices';
import { ignoreElements, isObservable } from 'rxjs';
import { BEN_UDP_TRANSPORT } from '../../constants.js';
import { BenUdpError, isError } from '../../errors.js';
import { OptionReader } from '../../option-reader.js';
import { toJsonValue } from '../../protocol/index.js';
import { setBenUdpRequest } from '../ben-udp.request.js';
import { HIDDEN_ERROR } from '../error-answer.js';
import { describeError, quotePattern } from '../log-text.js';
import { hasWildcard } from '../wildcard-patterns.js';
import { IDENTITY_KEY, type RelayIdentity, fromHeaders, fromPacket, toRequest } from './relay-identity.js';
import { isRelayName, readPrefix } from './relay-options.js';

/** Options of `toBenUdpWorker`. */
export interface BenUdpWorkerOptions {
  /** The prefix of the edge. Default `ben.`. */
  prefix?: string;
  /**
   * Whether `@Device()` and its siblings give the identity that the edge sends. Default false: they give undefined, and
   * `@AllowDevices()` refuses every request. Every client that may publish on the broker can forge one, so restrict the broker first.
   */
  trustEdgeIdentity?: boolean;
}

type Publish = (packet: unknown) => unknown;

/** The parts of a server that Nest's own servers share, `protected` ones too. */
interface ServerParts {
  addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler?: boolean,
    extras?: Record<string, unknown>,
  ): void;
  handleEvent(pattern: string, packet: unknown, context: BaseRpcContext): Promise<unknown>;
  /** Of NATS and Redis. */
  getPublisher?(...request: unknown[]): Publish;
  normalizePattern(pattern: unknown): string;
  serializer: { serialize(packet: unknown, options?: unknown): unknown };
  deserializer: { deserialize(message: unknown, options?: unknown): unknown };
}

/**
 * Makes a worker of a server of Nest, so that controllers with `@BenUdpMessagePattern` run on it unchanged. Handlers without a
 * transport run too.
 *
 *     NestFactory.createMicroservice(AppModule, {
 *       strategy: toBenUdpWorker(new ServerNats({ servers, queue: 'workers' }), { trustEdgeIdentity: true }),
 *     })
 *
 * @param server changed and returned. It must be new: without handlers, and not listening.
 * @throws TypeError, RangeError naming the wrong option.
 * @publicApi
 */
export function toBenUdpWorker<Worker extends CustomTransportStrategy>(
  server: Worker,
  options: BenUdpWorkerOptions = {},
): Worker {
  const reader = new OptionReader<BenUdpWorkerOptions>('toBenUdpWorker', options, ['prefix', 'trustEdgeIdentity']);
  const prefix = readPrefix(reader);
  const isTrusted = reader.boolean('trustEdgeIdentity', false);
  const parts = (server ?? {}) as unknown as ServerParts;
  if (typeof parts.addHandler !== 'function' || typeof parts.handleEvent !== 'function') {
    throw new TypeError(
      'toBenUdpWorker expects a server of Nest, such as new ServerNats({ servers }), and got something else',
    );
  }
  const { serializer, deserializer } = parts;
  const addHandler = parts.addHandler.bind(server);
  const handleEvent = parts.handleEvent.bind(server);
  const getPublisher = parts.getPublisher?.bind(server);
  const logger = new Logger('BenUdpWorker');
  const routes = new Map<string, Route>();
  const own: Partial<ServerParts> = {
    addHandler: (pattern, callback, isEventHandler = false, extras = {}) => {
      if (typeof pattern === 'string' && hasWildcard(pattern)) {
        throw new TypeError(
          `a worker has no wildcards: write a handler for each relayed name instead of ${quotePattern(pattern)}`,
        );
      }
      const action = parts.normalizePattern(pattern);
      if (!isRelayName(action)) {
        // White space in a subject would close the connection to NATS, for all handlers.
        logger.warn(`No edge can relay ${quotePattern(action)}, so its handler does not run on this worker`);
        return;
      }
      const name = prefix + action;
      const known = routes.get(name);
      const route = known ?? new Route(isTrusted);
      route.add(callback, isEventHandler);
      routes.set(name, route);
      // Nest would chain a second registration as an event to itself. The options of a message handler replace those of an event.
      if (!known || !isEventHandler) {
        addHandler(name, route.run, isEventHandler, extras);
      }
    },
    handleEvent: (pattern, packet, context) => {
      events.add(context);
      return handleEvent(pattern, packet, context);
    },
    ...(getPublisher && {
      getPublisher: (...request) => {
        const publish = getPublisher(...request);
        return (packet) => publishSafely(publish, packet, logger);
      },
    }),
    serializer: {
      serialize: (packet, ...rest) => serializer.serialize(toJsonPacket(packet as Packet, logger), ...rest),
    },
    deserializer: {
      deserialize: (message, ...rest) => {
        const packet = deserializer.deserialize(message, ...rest);
        return packet instanceof Promise ? packet.then(holdIdentity) : holdIdentity(packet);
      },
    },
  };
  // A field on 11.0, a setter later.
  return Object.assign(server, { transportId: BEN_UDP_TRANSPORT, ...own });
}

interface Packet {
  readonly data?: unknown;
  readonly response?: unknown;
  readonly err?: unknown;
}

/** The data of a packet that has an identity, on its way to the handler. */
class Identified {
  constructor(
    readonly data: unknown,
    readonly identity: RelayIdentity,
  ) {}
}

function holdIdentity(packet: unknown): unknown {
  const { [IDENTITY_KEY]: identity, data } = (packet ?? {}) as Packet & { readonly [IDENTITY_KEY]?: unknown };
  return identity === undefined ? packet : { ...(packet as Packet), data: new Identified(data, fromPacket(identity)) };
}

/** The contexts of events: packets without an id. */
const events = new WeakSet<object>();

/**
 * The handlers of a name, as the edge has them: an event handler runs for a board that does not wait, and a message handler for one that
 * waits. A server of Nest has one handler for both, so that handler is `run`.
 */
class Route {
  private message: MessageHandler | undefined;
  /** The first one. Nest calls the others by `next`. */
  private event: MessageHandler | undefined;

  constructor(private readonly isTrusted: boolean) {}

  add(callback: MessageHandler, isEventHandler: boolean): void {
    if (!isEventHandler) {
      this.message = callback;
    } else if (this.event) {
      lastOf(this.event).next = callback;
    } else {
      this.event = callback;
    }
  }

  /** First attaches the request of the board to the context. */
  readonly run: MessageHandler = async (message: unknown, context: BaseRpcContext) => {
    const data = message instanceof Identified ? message.data : message;
    const identity = message instanceof Identified ? message.identity : readHeaders(context);
    setBenUdpRequest(context, toRequest(this.isTrusted ? identity : {}));
    if (events.has(context)) {
      return (this.event ?? this.message)!(data, context);
    }
    if (this.message) {
      return this.message(data, context);
    }
    // A board that waits for an event handler learns only that it ran.
    const result: unknown = await this.event!(data, context);
    return isObservable(result) ? result.pipe(ignoreElements()) : undefined;
  };
}

function lastOf(handler: MessageHandler): MessageHandler {
  return handler.next ? lastOf(handler.next as MessageHandler) : handler;
}

/** Of NATS. Other contexts have none. */
function readHeaders(context: BaseRpcContext): RelayIdentity {
  const { getHeaders } = context as unknown as Partial<NatsContext>;
  const headers = getHeaders?.call(context) as { get?(name: string): string } | undefined;
  return headers?.get ? fromHeaders((name) => headers.get!(name)) : {};
}

/** Nest does not handle a failure of these clients, and an unhandled rejection would end the process. The client may refuse the answer alone. */
async function publishSafely(publish: Publish, packet: unknown, logger: Logger): Promise<void> {
  try {
    await publish(packet);
  } catch (error) {
    logger.error(`An answer was not sent: ${describeError(error)}`);
    await new Promise((resolve) => resolve(publish({ err: HIDDEN_ERROR, isDisposed: true }))).catch(() => undefined);
  }
}

/** A packet that JSON carries, by the rules of an edge. Another one would leave the edge without an answer, and end a worker on Nest 11. */
function toJsonPacket(packet: Packet, logger: Logger): unknown {
  try {
    if ('err' in packet) {
      return { ...packet, err: toErrorContent(packet.err) };
    }
    return packet.response === undefined ? packet : { ...packet, response: toJsonValue(packet.response) };
  } catch (error) {
    const { response: _unsent, ...rest } = packet;
    const isExplained = error instanceof BenUdpError;
    if (!isExplained) {
      logger.error(`A result can't be sent: ${describeError(error)}`);
    }
    return { ...rest, err: isExplained ? { status: 'error', message: error.message } : HIDDEN_ERROR, isDisposed: true };
  }
}

/** @throws BenUdpError if JSON can't carry it; and an `Error`, whose text is not for boards. */
function toErrorContent(error: unknown): unknown {
  if (isError(error)) {
    throw error;
  }
  const content = toJsonValue(error);
  // Clients of Nest take 0 and '' for no error.
  return content || { status: 'error', message: content ?? null };
}
