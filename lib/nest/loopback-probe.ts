/**
 * A client of one's own server: a real exchange over the machine's loopback, so that what is found in order is socket, event
 * loop, keys and exchange, and not only that an object exists.
 */
import { randomBytes } from 'node:crypto';
import { BenUdpError } from '../errors.js';
import { BEN_UDP_HEALTH_PATTERN, DEFAULT_BUFFER_SIZE } from '../constants.js';
import { RequestClient } from '../client/index.js';
import type { KeyRing } from '../keys/index.js';
import type { VerifiedRequest } from '../exchange/index.js';
import type { Platform } from '../net/index.js';
import { formatReply, formatRequest } from '../protocol/index.js';

/** A finding is good for this long: whoever may ask for it at will must not use up what the server answers its own machine. */
const FRESH_MS = 1000;

/** The socket is kept between checks, which come every few seconds. */
const IDLE_TIMEOUT_MS = 60_000;

/** What such a request is answered. */
export const HEALTHY_REPLY = formatReply('ok', DEFAULT_BUFFER_SIZE);

interface Finding {
  readonly result: Promise<number>;
  /** `undefined` while it is under way. */
  endedAt: number | undefined;
}

export class LoopbackProbe {
  /**
   * The action of its requests. No holder of a key knows it, so that no device can ask for it, and it needs no handler: what has
   * no handler would be logged as an error.
   */
  private readonly action = randomBytes(16).toString('hex');
  private client: { readonly of: Promise<RequestClient>; readonly ring: KeyRing } | undefined;
  private latest: Finding | undefined;

  constructor(
    private readonly server: { readonly address: string; readonly port: number },
    private readonly currentKeys: () => KeyRing,
    private readonly platform: Platform,
  ) {}

  /** Whether a request came from here. */
  isOwn({ action }: VerifiedRequest): boolean {
    return action === this.action;
  }

  /**
   * One exchange; or the finding of one that is under way, or over for less than a second.
   *
   * @returns how long it took, in milliseconds.
   * @throws BenUdpError `BEN_TIMEOUT`, `BEN_BAD_REPLY`, `BEN_SOCKET`.
   */
  run(timeoutMs: number): Promise<number> {
    const { latest } = this;
    if (latest && (latest.endedAt === undefined || this.platform.now() - latest.endedAt < FRESH_MS)) {
      return latest.result;
    }
    const finding: Finding = { result: this.exchange(timeoutMs), endedAt: undefined };
    const end = () => {
      finding.endedAt = this.platform.now();
    };
    finding.result.then(end, end);
    this.latest = finding;
    return finding.result;
  }

  async close(): Promise<void> {
    const caller = await this.client?.of.catch(() => undefined);
    await caller?.close();
  }

  private async exchange(timeoutMs: number): Promise<number> {
    const abort = new AbortController();
    const stopTimer = this.platform.schedule(() => {
      abort.abort(new BenUdpError('BEN_TIMEOUT', `no exchange with itself within ${timeoutMs} ms`));
    }, timeoutMs);
    const startedAt = this.platform.now();
    try {
      const caller = await this.connect();
      const text = formatRequest({ action: this.action });
      await caller.request(
        { text, noreturn: false, pattern: BEN_UDP_HEALTH_PATTERN, timeout: timeoutMs, retries: 0, idempotent: true },
        abort.signal,
      );
      return Math.round((this.platform.now() - startedAt) * 1000) / 1000;
    } finally {
      stopTimer();
    }
  }

  /** With the first of the server's keys, as it is now. */
  private connect(): Promise<RequestClient> {
    const ring = this.currentKeys();
    if (this.client?.ring !== ring) {
      void this.close();
      const { address, port } = this.server;
      const of = RequestClient.create(
        {
          host: loopbackOf(address),
          port,
          localAddress: undefined,
          localPort: 0,
          bufferSize: DEFAULT_BUFFER_SIZE,
          // A second one while the first rests after an exchange that failed.
          maxSockets: 2,
          maxQueue: 0,
          idleTimeout: IDLE_TIMEOUT_MS,
        },
        ring.keys[0]!.sealer,
        { onIgnored: () => undefined, onError: () => undefined },
        this.platform,
      );
      this.client = { of, ring };
    }
    return this.client.of;
  }
}

/** An address that reaches a socket bound to `address`. */
function loopbackOf(address: string): string {
  switch (address) {
    case '0.0.0.0':
      return '127.0.0.1';
    case '::':
      return '::1';
    default:
      return address;
  }
}
