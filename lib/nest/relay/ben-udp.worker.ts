/**
 * A worker: a server of Nest behind a broker, whose controllers are those of an edge.
 */
import type { BaseRpcContext, CustomTransportStrategy, MessageHandler, NatsContext } from '@nestjs/microservices';
import { BEN_UDP_TRANSPORT } from '../../constants.js';
import { BenUdpError } from '../../errors.js';
import { OptionReader } from '../../option-reader.js';
import { toJsonValue } from '../../protocol/index.js';
import { setBenUdpRequest } from '../ben-udp.request.js';
import { IDENTITY_KEY, type RelayIdentity, fromHeaders, fromPacket, toRequest } from './relay-identity.js';
import { readPrefix } from './relay.options.js';

/** Options of `toBenUdpWorker`. */
export interface BenUdpWorkerOptions {
  /** The prefix of the edge. Default `ben.`. */
  prefix?: string;
  /**
   * Whether `@Device()` and its siblings give what the edge says about a board. Default false: they give undefined, and
   * `@AllowDevices()` lets nobody in. Whoever can publish on the broker can say the same, so keep others out first.
   */
  trustEdgeIdentity?: boolean;
}

/** The parts of a server that Nest's own servers share, `protected` ones too. */
interface ServerParts {
  addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler?: boolean,
    extras?: Record<string, unknown>,
  ): void;
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
  const parts = server as unknown as ServerParts;
  const { serializer, deserializer } = parts;
  const addHandler = parts.addHandler.bind(server);
  const own: Partial<ServerParts> = {
    addHandler: (pattern, callback, isEventHandler, extras) =>
      addHandler(prefix + parts.normalizePattern(pattern), readIdentity(callback, isTrusted), isEventHandler, extras),
    serializer: { serialize: (packet, ...rest) => serializer.serialize(toJsonPacket(packet as Packet), ...rest) },
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

/** Several handlers of an event share a context. */
const identified = new WeakSet<object>();

/** A handler that first gives its context the request of the board. Nest chains further event handlers by `next`. */
function readIdentity(callback: MessageHandler, isTrusted: boolean): MessageHandler {
  const handler: MessageHandler = (message: unknown, context: BaseRpcContext) => {
    const data = message instanceof Identified ? message.data : message;
    const identity = message instanceof Identified ? message.identity : readHeaders(context);
    if (!identified.has(context)) {
      identified.add(context);
      setBenUdpRequest(context, toRequest(isTrusted ? identity : {}));
    }
    return callback(data, context);
  };
  return Object.defineProperty(handler, 'next', {
    get: () => callback.next,
    set: (next: MessageHandler) => {
      callback.next = next;
    },
  });
}

/** Of NATS. Other contexts have none. */
function readHeaders(context: BaseRpcContext): RelayIdentity {
  const { getHeaders } = context as unknown as Partial<NatsContext>;
  const headers = getHeaders?.call(context) as { get?(name: string): string } | undefined;
  return headers?.get ? fromHeaders((name) => headers.get!(name)) : {};
}

/** A result that JSON can't carry would leave the edge without an answer. */
function toJsonPacket(packet: Packet): unknown {
  if (packet.response === undefined) {
    return packet;
  }
  try {
    return { ...packet, response: toJsonValue(packet.response) };
  } catch (error) {
    if (!(error instanceof BenUdpError)) {
      throw error;
    }
    const { response: _unsent, ...rest } = packet;
    return { ...rest, err: { status: 'error', message: error.message }, isDisposed: true };
  }
}
