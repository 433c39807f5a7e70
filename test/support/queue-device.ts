/**
 * A device whose socket keeps unread datagrams, on a network without delay: reads strictly in order, drains nothing,
 * trusts everybody. What upstream's client does, without a socket and on the test's clock.
 */
import type { BenUdpRemote, ServerExchange } from '../../lib/exchange/index.js';
import { HELLO, Sealer } from '../../lib/protocol/index.js';
import { boardExchange } from '../../lib/testing/board-exchange.js';
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
    /** Datagrams its socket keeps; further ones are dropped. ESP32's keeps 6. */
    private readonly capacity = 6,
  ) {
    this.sealer = new Sealer(key);
  }

  /** Sends message number `sent`; returns how that ended. */
  send(now: number, noreturn: boolean): Ending {
    const number = this.sent++;
    const text = noreturn
      ? `{'action': 'n', 'data': ${number}, 'noreturn': True}`
      : `{'action': 'r', 'data': ${number}}`;
    const steps = boardExchange(this.sealer, { text, noreturn });
    let step = steps.next();
    while (!step.done) {
      let input: Buffer | undefined;
      if (step.value.kind === 'send') {
        this.transmit(step.value.datagram, number, now);
      } else if (step.value.kind === 'read') {
        input = this.unread.shift();
        if (!input) {
          return 'timeout';
        }
      }
      step = steps.next(input!);
    }
    const { kind } = step.value;
    if (kind === 'reply') {
      return step.value.text === replyTo(number) ? 'ok' : 'error';
    }
    return kind === 'noreturn' ? 'ok' : 'error';
  }

  /** A hello in the name of this device, also a spoofed one; the answer goes to its socket. */
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

  private transmit(datagram: Buffer, number: number, now: number): void {
    const decision = this.server.receive(datagram, this.remote, now);
    if (decision.kind === 'pair') {
      this.store(decision.datagrams);
    } else if (decision.kind === 'request') {
      const { request, pending } = decision;
      this.heard.push(request.data as number);
      const reply = request.noreturn ? [] : this.server.reply(pending, replyTo(number), now);
      this.store(Array.isArray(reply) ? (reply as Buffer[]) : []);
      this.server.finish(pending, now);
    }
  }
}

/** Longer than a block, as most are: a device that takes one block for part of a pair goes on, one that takes more raises. */
function replyTo(number: number): string {
  return `{"data":"the answer to message ${number}"}`;
}
