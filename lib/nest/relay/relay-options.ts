/**
 * Options of the relay: their meaning, and functions that check them.
 */
import { type ClientProvider, Transport } from '@nestjs/microservices';
import { MAX_OPTION_MS } from '../../constants.js';
import { OptionReader } from '../../option-reader.js';

/** The subjects of the workers begin with this by default. */
const DEFAULT_RELAY_PREFIX = 'ben.';

/** Less than the 10 s for which boards wait, so they get an error if a worker hangs. */
const DEFAULT_RELAY_TIMEOUT_MS = 8000;

const DEFAULT_MAX_PENDING = 1000;

/** Options of `BenUdpRelayModule.forRoot`. */
export interface BenUdpRelayOptions {
  /** The client of the broker, as Nest's `ClientsModule` takes it: `{ transport: Transport.NATS, options: { servers } }`. */
  client: ClientProvider;
  /**
   * The requests that workers answer: names such as `led` or `hall/temperature`, at most 200 characters, without wildcards. A
   * request with another action gets the usual reply that there is no handler.
   */
  messages?: readonly string[];
  /** The events that workers get: requests of boards that do not wait. Names as in `messages`. */
  events?: readonly string[];
  /** The beginning of the workers' subjects. Default `ben.`: the subject of `led` is `ben.led`. */
  prefix?: string;
  /** Milliseconds for which a request waits for its worker, 10 to 86400000. Default 8000. It should be less than the boards wait. */
  timeout?: number;
  /**
   * Requests that may wait for workers at once, 1 to 1048576. Default 1000. Further boards get a `busy` error. The same number of events
   * may wait for the broker. Further events are lost, and count as `event-failed`.
   */
  maxPending?: number;
}

const OPTION_NAMES = ['client', 'messages', 'events', 'prefix', 'timeout', 'maxPending'] as const;

export interface ResolvedRelayOptions {
  readonly messages: readonly string[];
  readonly events: readonly string[];
  readonly prefix: string;
  readonly timeout: number;
  readonly maxPending: number;
}

/** @throws TypeError, RangeError naming the option. */
export function resolveRelayOptions(options: BenUdpRelayOptions): ResolvedRelayOptions {
  const reader = new OptionReader('BenUdpRelayModule', options, OPTION_NAMES);
  if (!isClient(reader.object('client'))) {
    reader.fail('client', 'a client as in ClientsModule, such as { transport: Transport.NATS }', options.client);
  }
  const messages = readPatterns(reader, 'messages', options.messages);
  const events = readPatterns(reader, 'events', options.events);
  if (messages.length + events.length === 0) {
    throw new TypeError(
      'BenUdpRelayModule needs the names of requests in "messages" or "events": others are not relayed',
    );
  }
  return {
    messages,
    events,
    prefix: readPrefix(reader),
    timeout: reader.integer('timeout', DEFAULT_RELAY_TIMEOUT_MS, 10, MAX_OPTION_MS),
    maxPending: reader.integer('maxPending', DEFAULT_MAX_PENDING, 1, 1_048_576),
  };
}

/** Nest would make a client of TCP from anything else. Its client of gRPC has no names. */
function isClient(client: object | undefined): boolean {
  const { customClass, transport } = (client ?? {}) as { customClass?: unknown; transport?: unknown };
  return customClass === undefined
    ? typeof transport === 'number' && transport in Transport && transport !== Transport.GRPC
    : typeof customClass === 'function';
}

/** A literal on every broker: no wildcard (`*`, `>`, `+`, `#`), no subject of the broker itself (`$`), no white space, no empty word. */
const LITERAL = /^[\w-]+(?:[./:][\w-]+)*$/;
const PREFIX = /^[\w-]+(?:[./:][\w-]+)*[./:]?$/;
const MAX_LITERAL = 200;
const LITERALS = `names of at most ${MAX_LITERAL} letters, digits, "_" and "-", with single ".", "/" or ":" between them`;

/** Whether an edge can list this name. */
export function isRelayName(name: string): boolean {
  return LITERAL.test(name) && name.length <= MAX_LITERAL;
}

function readPatterns(
  reader: OptionReader<BenUdpRelayOptions>,
  name: 'messages' | 'events',
  patterns: unknown = [],
): readonly string[] {
  if (!Array.isArray(patterns)) {
    return reader.fail(name, `a list of ${LITERALS}`, patterns);
  }
  for (const pattern of patterns as unknown[]) {
    if (typeof pattern !== 'string') {
      reader.fail(name, LITERALS, pattern);
    } else if (!isRelayName(pattern)) {
      reader.failRange(name, LITERALS, JSON.stringify(pattern.slice(0, 50)));
    }
  }
  return [...(patterns as string[])];
}

/** @throws TypeError, RangeError naming the option. */
export function readPrefix(reader: OptionReader<{ prefix?: string } & object>): string {
  const prefix = reader.string('prefix', DEFAULT_RELAY_PREFIX);
  return PREFIX.test(prefix) && prefix.length <= MAX_LITERAL
    ? prefix
    : reader.failRange('prefix', 'a name such as "ben.", without wildcards', JSON.stringify(prefix.slice(0, 50)));
}
