/**
 * The socket of a board. It holds a few datagrams until they are read, strictly in order, and drops further ones.
 */
import { BenUdpError } from '../errors.js';
import type { Platform } from '../net/index.js';

export interface InboxOptions {
  /** Unread datagrams that the socket holds. */
  readonly slots: number;
  /** Milliseconds to take a datagram out. It occupies its slot during that time. */
  readonly readDelayMs: number;
}

interface Reader {
  readonly take: (datagram: Buffer) => void;
  readonly fail: (error: BenUdpError) => void;
}

export class Inbox {
  readonly counts = { received: 0, dropped: 0 };
  private readonly unread: Buffer[] = [];
  private readonly readers: Reader[] = [];
  private isTaking = false;
  private stopTaking: () => void = () => undefined;

  constructor(
    private readonly options: InboxOptions,
    private readonly platform: Pick<Platform, 'schedule'>,
  ) {}

  /** Unread datagrams. */
  get length(): number {
    return this.unread.length;
  }

  store(datagram: Buffer): void {
    if (this.unread.length === this.options.slots) {
      this.counts.dropped++;
      return;
    }
    this.counts.received++;
    this.unread.push(datagram);
    this.serve();
  }

  /**
   * The next datagram.
   *
   * @throws BenUdpError `BEN_TIMEOUT` if none arrives in time, `BEN_CLOSED`.
   */
  read(timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stopWaiting = this.platform.schedule(() => {
        this.readers.splice(this.readers.indexOf(reader), 1);
        reject(new BenUdpError('BEN_TIMEOUT', `no datagram within ${timeoutMs} ms`));
      }, timeoutMs);
      const reader: Reader = {
        take: (datagram) => {
          stopWaiting();
          resolve(datagram);
        },
        fail: (error) => {
          stopWaiting();
          reject(error);
        },
      };
      this.readers.push(reader);
      this.serve();
    });
  }

  close(): void {
    this.stopTaking();
    for (const reader of this.readers.splice(0)) {
      reader.fail(new BenUdpError('BEN_CLOSED', 'the board was closed'));
    }
  }

  private serve(): void {
    if (this.isTaking || this.unread.length === 0 || this.readers.length === 0) {
      return;
    }
    if (this.options.readDelayMs === 0) {
      this.handOver();
      return;
    }
    this.isTaking = true;
    this.stopTaking = this.platform.schedule(() => {
      this.isTaking = false;
      this.handOver();
      this.serve();
    }, this.options.readDelayMs);
  }

  private handOver(): void {
    // The reader may have given up. Then the datagram stays.
    const reader = this.readers.shift();
    if (reader) {
      reader.take(this.unread.shift()!);
    }
  }
}
