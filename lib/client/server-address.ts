/**
 * The address behind the server's name, looked up again as time passes: a server that is started anew may have another one.
 */
import { isIP } from 'node:net';
import type { Platform } from '../net/index.js';

/** An address is looked up again before it is used longer than this, and after an exchange that timed out. */
export const MAX_ADDRESS_AGE_MS = 60_000;

/** A name server that does not answer holds requests no longer than this: they go on with the known address. */
export const LOOKUP_PATIENCE_MS = 1000;

export class ServerAddress {
  private lookedUpAt: number;
  private isDoubtful = false;
  private looking: Promise<void> | undefined;
  private isFailing = false;

  private constructor(
    private readonly host: string,
    /** Of the local address, if that is given: 4 or 6, else 0. */
    private readonly family: number,
    private known: string,
    private readonly onError: (error: Error) => void,
    private readonly platform: Pick<Platform, 'now' | 'schedule' | 'resolveHost'>,
  ) {
    this.lookedUpAt = platform.now();
  }

  /**
   * Looks the name up for the first time.
   *
   * @param onError told once when a later look-up fails, until one succeeds again.
   * @throws the system's error.
   */
  static async resolve(
    host: string,
    family: number,
    onError: (error: Error) => void,
    platform: Pick<Platform, 'now' | 'schedule' | 'resolveHost'>,
  ): Promise<ServerAddress> {
    return new ServerAddress(host, family, await platform.resolveHost(host, family), onError, platform);
  }

  get current(): string {
    return this.known;
  }

  /** Whether the name is to be looked up before the address is used. */
  get isStale(): boolean {
    const isOld = this.platform.now() - this.lookedUpAt > MAX_ADDRESS_AGE_MS;
    return isIP(this.host) === 0 && (isOld || this.isDoubtful);
  }

  /** An exchange timed out: the server may have moved. */
  doubt(): void {
    this.isDoubtful = true;
  }

  /** Looks the name up, once for all that ask meanwhile. Resolves when there is an address to use: a new one, or the known one. */
  refresh(): Promise<void> {
    this.looking ??= this.lookUp().finally(() => {
      this.looking = undefined;
      this.lookedUpAt = this.platform.now();
      this.isDoubtful = false;
    });
    return this.looking;
  }

  private async lookUp(): Promise<void> {
    let stopWaiting: () => void = () => undefined;
    const patience = new Promise<void>((resolve) => {
      stopWaiting = this.platform.schedule(resolve, LOOKUP_PATIENCE_MS);
    });
    const lookedUp = this.adopt().catch((error: Error) => {
      if (!this.isFailing) {
        this.isFailing = true;
        this.onError(error);
      }
    });
    await Promise.race([lookedUp, patience]);
    stopWaiting();
  }

  private async adopt(): Promise<void> {
    this.known = await this.platform.resolveHost(this.host, this.family);
    this.isFailing = false;
  }
}
