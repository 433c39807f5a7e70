/**
 * The sender of a request, as it crosses the broker: in headers on NATS, and under its own key in the packet on Redis.
 */
import type { BenUdpContext } from '../ben-udp.context.js';
import type { BenUdpRequest } from '../ben-udp.request.js';

/** Only texts, because headers carry nothing else. */
export interface RelayIdentity {
  readonly device?: string;
  readonly address?: string;
  /** ISO 8601. */
  readonly receivedAt?: string;
  /** A JSON object of texts. */
  readonly metadata?: string;
}

const NAMES = ['device', 'address', 'receivedAt', 'metadata'] as const;

/** Headers of NATS, for workers in other languages too. */
const HEADERS: Readonly<Record<(typeof NAMES)[number], string>> = {
  device: 'Ben-Udp-Device',
  address: 'Ben-Udp-Address',
  receivedAt: 'Ben-Udp-Received-At',
  metadata: 'Ben-Udp-Metadata',
};

/** The key of the identity in a packet, next to `pattern` and `data`. */
export const IDENTITY_KEY = 'benUdp';

export function identityOf(context: BenUdpContext): RelayIdentity {
  const device = context.getDevice();
  const metadata = context.getMetadata();
  return {
    ...(device !== undefined && { device: wellFormed(device) }),
    address: context.getRemoteAddress(),
    receivedAt: context.getReceivedAt().toISOString(),
    ...(metadata && { metadata: JSON.stringify(metadata) }),
  };
}

/** Percent-encodes characters that a header can't carry: the name of a device may hold line breaks. */
export function toHeaders(identity: RelayIdentity): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of NAMES) {
    const value = identity[name];
    if (value !== undefined) {
      headers[HEADERS[name]] = value.replaceAll(/[^\x21-\x24\x26-\x7e]/gu, encodeURIComponent);
    }
  }
  return headers;
}

/** @param read the value of a header; empty or `undefined` if there is none. */
export function fromHeaders(read: (name: string) => string | undefined): RelayIdentity {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const value = read(HEADERS[name]);
      return value ? [[name, decode(value)]] : [];
    }),
  );
}

/** The identity in a packet; empty if the packet has none. */
export function fromPacket(value: unknown): RelayIdentity {
  const record = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  return Object.fromEntries(
    NAMES.filter((name) => typeof record[name] === 'string').map((name) => [name, record[name]]),
  );
}

/** The identity as guards and decorators read it. A broker carries neither the text of the request nor a signal. */
export function toRequest({ device, address, receivedAt, metadata }: RelayIdentity): BenUdpRequest {
  const texts = metadata === undefined ? undefined : parseTexts(metadata);
  const time = receivedAt === undefined ? NaN : Date.parse(receivedAt);
  return {
    getDevice: () => device,
    getRemoteAddress: () => address,
    getMetadata: () => texts,
    getReceivedAt: () => (Number.isNaN(time) ? undefined : new Date(time)),
    getRawRequest: () => undefined,
    getSignal: () => undefined,
  };
}

/** A lone surrogate, which Python text may hold, has no UTF-8. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function parseTexts(json: string): Readonly<Record<string, string>> | undefined {
  try {
    const entries = Object.entries(JSON.parse(json) as object).filter(([, text]) => typeof text === 'string');
    return Object.freeze(Object.fromEntries(entries) as Record<string, string>);
  } catch {
    return undefined;
  }
}
