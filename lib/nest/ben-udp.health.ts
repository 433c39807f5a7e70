/**
 * A health indicator for `@nestjs/terminus`. It has the shape that `HealthCheckService` accepts, without a dependency on it.
 */
import { brand } from '../brand.js';
import { BenUdpError, type BenUdpErrorCode } from '../errors.js';
import type { BenUdpPingOptions, BenUdpTransport } from './ben-udp.transport.js';

/** The health of a transport. */
export type BenUdpHealth =
  | {
      readonly status: 'up';
      /** Milliseconds that the exchange took. */
      readonly durationMs: number;
    }
  | {
      readonly status: 'down';
      /** `BEN_TIMEOUT` if no reply came, `BEN_CLOSED` if the transport does not listen. */
      readonly code: BenUdpErrorCode;
    };

/**
 * Checks with a real exchange that a transport answers: over loopback, with its own socket, under the first key.
 *
 *     health.check([() => boards.pingCheck('boards')])
 *
 * `BenUdpModule` provides it. Without that module, use `new BenUdpHealthIndicator(transport)`.
 *
 * @publicApi
 */
export class BenUdpHealthIndicator {
  static {
    brand(this, 'BenUdpHealthIndicator');
  }

  constructor(private readonly transport: Pick<BenUdpTransport, 'ping'>) {}

  /**
   * The result of the check. It holds nothing secret.
   *
   * @param key names the transport in the result.
   * @param options as for `BenUdpTransport#ping`.
   * @throws only TypeError or RangeError that names the wrong option. A failed check is a result.
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
