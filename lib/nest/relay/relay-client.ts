/**
 * Makes Nest's client of a broker. The identity of a board travels with the payload if the broker has a place for it.
 */
import {
  type ClientProvider,
  type ClientProxy,
  ClientProxyFactory,
  NatsRecordBuilder,
  type NatsOptions,
  type RedisOptions,
  type Serializer,
  Transport,
} from '@nestjs/microservices';
import type { Platform } from '../../net/index.js';
import { NatsRelayClient } from './nats-relay-client.js';
import { RedisRelayClient } from './redis-relay-client.js';
import { IDENTITY_KEY, type RelayIdentity, toHeaders } from './relay-identity.js';

/** A client, and the data that it takes. */
export interface RelayClient {
  readonly proxy: Pick<ClientProxy, 'connect' | 'send' | 'emit' | 'close' | 'status'> & {
    /** The client of Kafka refuses a request unless this was called before `connect`. */
    subscribeToResponseOf?(pattern: string): void;
  };
  /** Whether the identity travels. */
  readonly carriesIdentity: boolean;
  /** The data for `send` and `emit`, never null: Nest's clients refuse that. */
  record(data: unknown, identity: RelayIdentity): object;
}

/** A broker restarts within seconds, and boards send requests all the time, so the client reconnects for ever. */
const NATS_DEFAULTS = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 250,
  // The library gives up for ever if NATS refuses the same credentials twice, as it may while they are changed.
  ignoreAuthErrorAbort: true,
  // A frozen NATS, or one behind a broken network, is noticed within 6 s. The default of the library is 6 minutes.
  pingInterval: 2000,
  maxPingOut: 2,
};
const REDIS_DEFAULTS = { retryAttempts: Infinity, retryDelay: 250 };

export function createRelayClient(provider: ClientProvider, platform: Platform): RelayClient {
  if (isOf<NatsOptions>(provider, Transport.NATS)) {
    return {
      proxy: new NatsRelayClient({ ...NATS_DEFAULTS, ...provider.options }, platform),
      carriesIdentity: true,
      record: (data, identity) => new NatsRecordBuilder(data).setHeaders(toHeaders(identity)).build(),
    };
  }
  if (isOf<RedisOptions>(provider, Transport.REDIS)) {
    const serializer = new PacketSerializer(provider.options?.serializer);
    return {
      proxy: new RedisRelayClient({ ...REDIS_DEFAULTS, ...provider.options, serializer }),
      carriesIdentity: true,
      record: (data, identity) => new RelayRecord(data, identity),
    };
  }
  return {
    proxy: ClientProxyFactory.create(provider as Parameters<typeof ClientProxyFactory.create>[0]),
    carriesIdentity: false,
    record: (data, identity) => new RelayRecord(data, identity),
  };
}

function isOf<Options extends { transport?: Transport }>(
  provider: ClientProvider,
  transport: Transport,
): provider is ClientProvider & Options {
  return 'transport' in provider && provider.transport === transport;
}

/** Data that is not null even if the data of the board is. */
class RelayRecord {
  constructor(
    readonly data: unknown,
    readonly identity: RelayIdentity,
  ) {}

  /** For clients whose packets are JSON and that know no record. */
  toJSON(): unknown {
    return this.data;
  }
}

class PacketSerializer implements Serializer {
  constructor(private readonly inner: Serializer | undefined) {}

  serialize(packet: { readonly data: unknown }): unknown {
    const { data } = packet;
    if (!(data instanceof RelayRecord)) {
      return this.inner ? this.inner.serialize(packet) : packet;
    }
    const plain = { ...packet, data: data.data };
    const serialized: object = this.inner ? this.inner.serialize(plain) : plain;
    return { ...serialized, [IDENTITY_KEY]: data.identity };
  }
}
