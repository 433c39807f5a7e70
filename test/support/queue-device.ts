/**
 * A device whose socket keeps what it has not read, on a network without delay: reads strictly in order, drains nothing,
 * trusts everybody. What upstream's client does, without a socket and on the test's clock.
 */
import {
  type ReplyTicket,
  type BenUdpRemote,
  type ServerExchange,
  openReply,
  sealRequest,
} from '../../lib/exchange/index.js';
import { HELLO, Sealer, stripWhiteSpace } from '../../lib/protocol/index.js';
import { KEY, remoteOf } from './pure-device.js';

/** How one `send` ended, as the device's owner sees it. */
export type Ending = 'ok' | 'timeout' | 'error';

export class QueueDevice {
  /** Datagrams that arrived and were not read. */
  readonly unread: Buffer[] = [];
  /** Requests of this device that the server accepted, by their number. */
  readonly heard: number[] = [];
  private sent = 0;
  private readonly sealer: Sealer;

  constructor(
    public server: ServerExchange,
    readonly remote: BenUdpRemote = remoteOf('10.0.0.1'),
    key: Buffer = KEY,
    /** Datagrams its socket keeps; what comes then is dropped. ESP32's keeps 6. */
    private readonly capacity = 6,
  ) {
    this.sealer = new Sealer(key);
  }

  /** Sends message number `sent`; returns how that ended. */
  send(now: number, noreturn: boolean): Ending {
    const number = this.sent++;
    this.hello(now);
    const pair = this.read(2);
    if (!pair) {
      return 'timeout';
    }
    const [ciphertext, iv] = pair as [Buffer, Buffer];
    if (ciphertext.length % 16 !== 0 || ciphertext.length === 0 || iv.length !== 16) {
      return 'error';
    }
    const id = stripWhiteSpace(this.sealer.open(ciphertext, iv));
    const text = noreturn
      ? `{'action': 'n', 'data': ${number}, 'noreturn': True}`
      : `{'action': 'r', 'data': ${number}}`;
    const ticket = this.request(sealRequest(this.sealer, id, text), now);
    if (noreturn) {
      return 'ok';
    }
    if (ticket) {
      const reply = this.server.reply(ticket, replyTo(number), now);
      this.store(Array.isArray(reply) ? (reply as Buffer[]) : []);
    }
    const [hash, replyIv, sealed] = this.read(3) ?? [];
    if (!hash || !replyIv || !sealed) {
      return 'timeout';
    }
    if (sealed.length % 16 !== 0 || replyIv.length !== 16) {
      return 'error';
    }
    return openReply(this.sealer, id, hash, { ciphertext: sealed, iv: replyIv }) === replyTo(number) ? 'ok' : 'error';
  }

  /** A hello in the name of this device, whoever says it; the answer goes to its socket. */
  hello(now: number): void {
    const decision = this.server.receive(HELLO, this.remote, now);
    if (decision.kind === 'pair') {
      this.store(decision.datagrams);
    }
  }

  /** Datagrams that arrive at its socket. */
  store(datagrams: readonly Buffer[]): void {
    this.unread.push(...datagrams.slice(0, this.capacity - this.unread.length));
  }

  private request(envelope: Buffer, now: number): ReplyTicket | undefined {
    const decision = this.server.receive(envelope, this.remote, now);
    if (decision.kind !== 'request') {
      return undefined;
    }
    this.heard.push(decision.request.data as number);
    this.server.finish(decision.work, undefined, now);
    return decision.ticket;
  }

  /** Reads so many datagrams; reads what there is and gives up where there are fewer. */
  private read(count: number): Buffer[] | undefined {
    const datagrams = this.unread.splice(0, count);
    return datagrams.length === count ? datagrams : undefined;
  }
}

/** Longer than a block, as most are: a device that takes one block for part of a pair goes on, one that takes more raises. */
function replyTo(number: number): string {
  return `{"data":"the answer to message ${number}"}`;
}
