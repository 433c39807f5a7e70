/**
 * A health indicator for `@nestjs/terminus`, which it resembles without knowing it: what `HealthCheckService` takes is the shape.
 */
import { brand } from '../brand.js';
import { BenUdpError, type BenUdpErrorCode } from '../errors.js';
import type { BenUdpPingOptions, BenUdpTransport } from './ben-udp.transport.js';

/** What is known of a transport's health. */
export type BenUdpHealth =
  | {
      readonly status: 'up';
      /** Milliseconds that the exchange took. */
      readonly durationMs: number;
    }
  | {
      readonly status: 'down';
      /** `BEN_TIMEOUT` where nothing came back, `BEN_CLOSED` where the transport does not listen. */
      readonly code: BenUdpErrorCode;
    };

/**
 * Tells by a real exchange whether a transport answers: with its own socket over loopback, under its first key.
 *
 *     health.check([() => boards.pingCheck('boards')])
 *
 * `BenUdpModule` provides it; without that module, `new BenUdpHealthIndicator(transport)`.
 *
 * @publicApi
 */
export class BenUdpHealthIndicator {
  static {
    brand(this, 'BenUdpHealthIndicator');
  }

  constructor(private readonly transport: Pick<BenUdpTransport, 'ping'>) {}

  /**
   * What was found, which holds nothing that may not be public.
   *
   * @param key names the transport in the result.
   * @param options as of `BenUdpTransport#ping`.
   * @throws TypeError, RangeError naming the option that is wrong, and nothing else.
   */
  async pingCheck<Key extends string>(key: Key, options?: BenUdpPingOptions): Promise<Record<Key, BenUdpHealth>> {
    return { [key]: await this.check(options) } as Record<Key, BenUdpHealth>;
  }

  private async check(options: BenUdpPingOptions | undefined): Promise<BenUdpHealth> {
    try {
      return { status: 'up', durationMs: await this.transport.ping(options) };
    } catch (error) {
      if (error instanceof BenUdpError) {
        return { status: 'down', code: error.code };
      }
      throw error;
    }
  }
}
