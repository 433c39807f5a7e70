/** The device's side of protocol v2 without a socket, on a clock of the test's own. */
import type { Decision, Exchanges } from '../../lib/exchange/index.js';
import { V2ClientExchange, type V2ClientDecision } from '../../lib/exchange/v2/client-exchange.js';
import type { V2ServerExchange } from '../../lib/exchange/v2/server-exchange.js';
import { type RandomFill, systemRandom } from '../../lib/random.js';
import { KEY, remoteOf } from './pure-device.js';
import { datagramOf } from './v2-server.js';

export const ECHO = "{'action': 'echo', 'data': 'hello'}";

type Accepted = Extract<Decision, { kind: 'request' }>;

export class PureV2Device {
  readonly client: V2ClientExchange;
  /** The datagram that was sent last. */
  sent: Buffer = Buffer.alloc(0);

  constructor(
    private readonly server: V2ServerExchange | Exchanges,
    readonly remote = remoteOf('10.0.0.1'),
    key: Buffer = KEY,
    bufferSize = 1536,
    random: RandomFill = systemRandom,
  ) {
    this.client = new V2ClientExchange({ key, bufferSize, random });
  }

  /** Begins a call, and returns the datagram that it sends. */
  begin(now: number, text = ECHO, noreturn = false): Buffer {
    return this.take(this.client.begin(text, noreturn, now, 15_000));
  }

  /** Passes a datagram of the server on, and returns the next one that is sent. */
  next(datagram: Buffer, now: number): Buffer {
    return this.take(this.client.receive(datagram, now));
  }

  receive(datagram: Buffer, now: number): V2ClientDecision {
    return this.client.receive(datagram, now);
  }

  /** Sends a datagram to the server. */
  deliver(now: number, datagram = this.sent, remote = this.remote): Decision {
    return this.server.receive(datagram, remote, now);
  }

  /** Opens a session if there is none, and returns the decision on the request. */
  ask(now: number, text = ECHO, noreturn = false): Decision {
    this.begin(now, text, noreturn);
    if (this.client.phase === 'opening') {
      const granted = this.deliver(now);
      const grant = datagramOf(granted);
      if (granted.kind !== 'grant' || !grant) {
        this.client.abandon();
        return granted;
      }
      this.next(grant, now);
    }
    return this.deliver(now);
  }

  /** A whole exchange. The handler answers at once. */
  exchange(now: number, text = ECHO, reply = '{"data":1}'): V2ClientDecision {
    const decision = this.ask(now, text);
    if (decision.kind !== 'request') {
      throw new Error(`not accepted: ${decision.kind === 'rejected' ? decision.reason : decision.kind}`);
    }
    return this.receive(this.answer(decision, now, reply), now);
  }

  /** The reply of the server to an accepted request. */
  answer({ pending }: Accepted, now: number, text = '{"data":1}'): Buffer {
    const reply = this.server.reply(pending as never, text, now);
    this.server.finish(pending as never, now);
    if (typeof reply === 'string') {
      throw new Error(`not answered: ${reply}`);
    }
    return reply[0]!;
  }

  private take(decision: V2ClientDecision): Buffer {
    if (decision.kind !== 'send') {
      throw new Error(`nothing to send: ${decision.kind}`);
    }
    this.sent = decision.datagram;
    return this.sent;
  }
}
