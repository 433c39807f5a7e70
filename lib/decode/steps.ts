/**
 * Names the step of each datagram in its exchange. Needs no key, because the sender, the order, and the bytes of hello and request
 * identify the steps.
 */
import { DUPLICATE_HELLO_MS } from '../exchange/index.js';
import { HASH_BYTES, isHello, looksLikeEnvelope } from '../protocol/index.js';
import type { RecordedDatagram, RecordedSender } from './recording.js';

/** The seven datagrams of a v1 exchange by name, in order; `extra` belongs to none of them. */
export const STEPS = [
  'hello',
  'id',
  'id-iv',
  'request',
  'reply-hash',
  'reply-iv',
  'reply-ciphertext',
  'extra',
] as const;

export type Step = (typeof STEPS)[number];

export interface NamedDatagram {
  readonly step: Step;
  readonly sender: RecordedSender;
  readonly datagram: RecordedDatagram;
}

/** The datagrams of one exchange, in their order. */
export interface NamedExchange {
  readonly conversation: string;
  readonly datagrams: readonly NamedDatagram[];
}

const OPEN_BRACE = 0x7b;

const PAIR: readonly Step[] = ['id', 'id-iv'];
const REPLY: readonly Step[] = ['reply-hash', 'reply-iv', 'reply-ciphertext'];

/** The exchanges of each conversation, in the order in which they begin. */
export function splitExchanges(datagrams: readonly RecordedDatagram[]): NamedExchange[] {
  const exchanges: OpenExchange[] = [];
  const current = new Map<string, OpenExchange>();
  for (const datagram of datagrams) {
    const { conversation } = datagram;
    const open = current.get(conversation);
    const exchange = open && !open.isEndedBy(datagram) ? open : new OpenExchange(conversation);
    if (exchange !== open) {
      exchanges.push(exchange);
      current.set(conversation, exchange);
    }
    exchange.add(datagram);
  }
  return exchanges;
}

class OpenExchange implements NamedExchange {
  readonly datagrams: NamedDatagram[] = [];
  /** Bounded by the steps of an exchange. */
  private readonly taken = new Map<Step, RecordedDatagram>();

  constructor(readonly conversation: string) {}

  /** Whether a datagram begins the next exchange. */
  isEndedBy(datagram: RecordedDatagram): boolean {
    if (isHello(datagram.bytes)) {
      return !this.isCopyOfHello(datagram);
    }
    const request = this.taken.get('request');
    return request !== undefined && isRequest(datagram) && !request.bytes.equals(datagram.bytes);
  }

  add(datagram: RecordedDatagram): void {
    const sender = datagram.sender ?? (isHello(datagram.bytes) || isRequest(datagram) ? 'device' : 'server');
    const step = this.nextStep(datagram, sender);
    if (step !== 'extra') {
      this.taken.set(step, datagram);
    }
    this.datagrams.push({ step, sender, datagram });
  }

  private nextStep(datagram: RecordedDatagram, sender: RecordedSender): Step {
    if (sender === 'device') {
      const step = isHello(datagram.bytes) ? 'hello' : isRequest(datagram) ? 'request' : 'extra';
      return this.taken.has(step) ? 'extra' : step;
    }
    const steps = this.expectsReply(datagram) ? REPLY : PAIR;
    return steps.find((step) => !this.taken.has(step)) ?? 'extra';
  }

  /** A recording may begin in the middle of an exchange. Of the server's datagrams, only the first one of a reply has 32 bytes. */
  private expectsReply({ bytes }: RecordedDatagram): boolean {
    const isFirst = this.datagrams.length === 0;
    return this.taken.has('request') || this.taken.has('reply-hash') || (isFirst && bytes.length === HASH_BYTES);
  }

  private isCopyOfHello({ at }: RecordedDatagram): boolean {
    const hello = this.taken.get('hello');
    return (
      hello?.at !== undefined && at !== undefined && at - hello.at < DUPLICATE_HELLO_MS && !this.taken.has('request')
    );
  }
}

/** If the device sent it, a short one counts too, because the recording may have cut it off. */
function isRequest({ bytes, sender }: RecordedDatagram): boolean {
  return sender === 'device' ? bytes[0] === OPEN_BRACE : sender === undefined && looksLikeEnvelope(bytes);
}
