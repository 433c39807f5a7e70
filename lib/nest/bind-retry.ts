/**
 * Binds a port, and tries again while it is in use: `nest start --watch` starts a new run of the app before the old one has ended.
 */
import cluster from 'node:cluster';
import { BenUdpError } from '../errors.js';
import { formatEndpoint } from '../format-endpoint.js';
import type { Platform } from '../net/index.js';
import type { ResolvedTransportOptions } from './ben-udp.transport-options.js';

export class BindRetry {
  private isCancelled = false;
  private endPause: () => void = () => undefined;

  constructor(
    private readonly options: Pick<
      ResolvedTransportOptions,
      'host' | 'port' | 'retryAttempts' | 'retryDelay' | 'reusePort'
    >,
    private readonly platform: Platform,
    private readonly warn: (message: string) => void,
  ) {}

  /** @throws the error of the last attempt; BenUdpError `BEN_CLOSED` after `cancel`. */
  async run<T>(bind: () => Promise<T>): Promise<T> {
    const { retryAttempts, retryDelay, host, port } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await bind();
      } catch (error) {
        if (!this.mayBeFree(error) || attempt > retryAttempts) {
          throw error;
        }
      }
      this.warn(
        `${formatEndpoint(host, port)} is in use; trying again in ${retryDelay} ms (${attempt} of ${retryAttempts})`,
      );
      await this.pause(retryDelay);
      if (this.isCancelled) {
        throw new BenUdpError('BEN_CLOSED', 'the transport was closed before it listened');
      }
    }
  }

  /** Makes no further attempt. */
  cancel(): void {
    this.isCancelled = true;
    this.endPause();
  }

  /** Whether the port may become free. In a cluster without `reusePort`, another worker keeps it. */
  private mayBeFree(error: unknown): boolean {
    const isInUse = error instanceof BenUdpError && error.code === 'BEN_ADDRESS_IN_USE';
    return isInUse && (!cluster.isWorker || this.options.reusePort);
  }

  private pause(ms: number): Promise<void> {
    if (this.isCancelled) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const cancelTimer = this.platform.schedule(resolve, ms);
      this.endPause = () => {
        cancelTimer();
        resolve();
      };
    });
  }
}
