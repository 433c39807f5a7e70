/** The device's side of the exchange without a socket: made for driving a ServerExchange on a clock of the test's own. */
import {
  DEFAULT_LIMITS,
  type Decision,
  type LateDecision,
  type BenUdpRemote,
  ServerExchange,
  type ServerExchangeOptions,
  openId,
  openReply,
  sealRequest,
} from '../../lib/exchange/index.js';
import { KeyRing, type NamedKey } from '../../lib/keys/index.js';
import { HELLO, type Sealed, Sealer } from '../../lib/protocol/index.js';

export const KEY = Buffer.alloc(32, 1);
export const OTHER_KEY = Buffer.alloc(32, 2);

export function remoteOf(address: string, port = 8585): BenUdpRemote {
  return { address, port, family: address.includes(':') ? 'IPv6' : 'IPv4' };
}

export function createServer(
  options: Partial<Omit<ServerExchangeOptions, 'keys'>> & { keys?: NamedKey[] } = {},
): ServerExchange {
  return new ServerExchange({
    maxDatagramBytes: 4096,
    deviceTimeoutMs: 10_000,
    maxEndpoints: 100,
    limits: DEFAULT_LIMITS,
    inFlight: { maxInFlight: 1000, maxInFlightPerDevice: 1000, maxQueuedEvents: 32 },
    repair: true,
    ...options,
    keys: new KeyRing(options.keys ?? [{ device: undefined, key: KEY }]),
  });
}

/** Goes on with all searches to their ends. */
export function finishSearches(server: ServerExchange, now: number): LateDecision[] {
  const ended: LateDecision[] = [];
  while (server.isSearching) {
    ended.push(...server.step(now));
  }
  return ended;
}

export class PureDevice {
  readonly sealer: Sealer;
  id: Buffer = Buffer.alloc(0);

  constructor(
    private readonly server: ServerExchange,
    readonly remote = remoteOf('10.0.0.1'),
    key: Buffer = KEY,
  ) {
    this.sealer = new Sealer(key);
  }

  /** Says hello and takes the id from the pair. */
  hello(now: number): Decision {
    const decision = this.server.receive(HELLO, this.remote, now);
    if (decision.kind === 'pair') {
      const [ciphertext, iv] = decision.datagrams as [Buffer, Buffer];
      this.id = openId(this.sealer, { ciphertext, iv });
    }
    return decision;
  }

  /** The id that this device computes from a pair. */
  openId(pair: Sealed): Buffer {
    return openId(this.sealer, pair);
  }

  /** The envelope for a request under the id at hand. */
  envelope(text = "{'action': 'echo'}"): Buffer {
    return sealRequest(this.sealer, this.id, text);
  }

  request(now: number, text?: string): Decision {
    return this.server.receive(this.envelope(text), this.remote, now);
  }

  /** Hello and request in a row. */
  ask(now: number, text?: string): Decision {
    this.hello(now);
    return this.request(now, text);
  }

  readReply([hash, iv, ciphertext]: readonly Buffer[]): string | undefined {
    return openReply(this.sealer, this.id, hash!, { ciphertext: ciphertext!, iv: iv! });
  }
}
