/**
 * A board on the clock of a test: its datagrams take time, it waits up to its timeout for each that it reads, and its socket keeps unread
 * ones. Others can send in its name meanwhile.
 */
import type { Decision, ServerExchange } from '../../lib/exchange/index.js';
import { HELLO, Sealer } from '../../lib/protocol/index.js';
import { boardExchange } from '../../lib/testing/board-exchange.js';
import { KEY, remoteOf } from './pure-device.js';

/** A clock with callbacks on it. */
export class Timeline {
  now = 0;
  private readonly tasks: Array<{ readonly at: number; readonly run: () => void }> = [];

  after(ms: number, run: () => void): () => void {
    const task = { at: this.now + ms, run };
    const index = this.tasks.findIndex(({ at }) => at > task.at);
    this.tasks.splice(index < 0 ? this.tasks.length : index, 0, task);
    return () => {
      const place = this.tasks.indexOf(task);
      if (place >= 0) {
        this.tasks.splice(place, 1);
      }
    };
  }

  every(ms: number, run: () => void): void {
    this.after(ms, () => {
      run();
      this.every(ms, run);
    });
  }

  runUntil(end: number): void {
    for (let task = this.tasks[0]; task && task.at <= end; task = this.tasks[0]) {
      this.tasks.shift();
      this.now = task.at;
      task.run();
    }
    this.now = end;
  }
}

export interface TimedBoardOptions {
  readonly timeline: Timeline;
  readonly server: ServerExchange;
  readonly remote?: ReturnType<typeof remoteOf>;
  readonly key?: Buffer;
  readonly noreturn?: boolean;
  /** From the end of an exchange to the next one. */
  readonly pauseMs?: number;
  readonly timeoutMs?: number;
  /** Of a datagram, one way. */
  readonly delayMs?: number;
  /** Datagrams that the socket keeps. */
  readonly capacity?: number;
  /** Returns the copies of a datagram that arrive: 0 if the network loses it. */
  readonly copies?: () => number;
  /** How much later a second copy arrives. */
  readonly copyDelayMs?: number;
}

export class TimedBoard {
  /** Exchanges that ended well: heard, and answered if the board waits. */
  succeeded = 0;
  /** Exchanges that have ended. */
  ended = 0;
  /** Numbers of the requests that the server accepted. */
  readonly heard: number[] = [];
  readonly requests: Buffer[] = [];
  readonly unread: Buffer[] = [];
  /** Decisions by reason or kind. */
  readonly decisions: Record<string, number> = {};
  readonly remote: ReturnType<typeof remoteOf>;
  /** While set, the network holds back the datagrams of the server. */
  held: Buffer[] | undefined;
  private wake: (() => void) | undefined;
  private readonly sealer: Sealer;
  private isStopped = false;

  constructor(private readonly options: TimedBoardOptions) {
    this.remote = options.remote ?? remoteOf('10.0.0.1');
    this.sealer = new Sealer(options.key ?? KEY);
  }

  /** Sends one request after the other. */
  start(): void {
    this.isStopped = false;
    this.exchange();
  }

  stop(): void {
    this.isStopped = true;
  }

  /** A datagram in the name of this board. */
  transmit(datagram: Buffer, number = -1): void {
    this.travel(() => this.pass(datagram, number));
  }

  private travel(arrive: () => void): void {
    const { timeline, delayMs = 5, copies = () => 1, copyDelayMs = 0 } = this.options;
    const count = copies();
    for (let copy = 0; copy < count; copy++) {
      timeline.after(delayMs + copy * copyDelayMs, arrive);
    }
  }

  sayHello(): void {
    this.transmit(HELLO);
  }

  /** Datagrams that arrive at the socket. */
  store(datagrams: readonly Buffer[]): void {
    if (this.held) {
      this.held.push(...datagrams);
      return;
    }
    const { capacity = 6 } = this.options;
    for (const datagram of datagrams) {
      if (this.unread.length < capacity) {
        this.unread.push(datagram);
        this.wake?.();
      }
    }
  }

  /** Lets the held datagrams through. */
  release(): void {
    const held = this.held ?? [];
    this.held = undefined;
    this.store(held);
  }

  private exchange(): void {
    const { timeline, noreturn = false, pauseMs = 1000 } = this.options;
    if (this.isStopped) {
      return;
    }
    const number = this.ended;
    const text = `{'action': 'a', 'data': ${number}${noreturn ? ", 'noreturn': True" : ''}}`;
    this.advance(boardExchange(this.sealer, { text, noreturn }), number, undefined, (isAnswered) => {
      this.ended++;
      // The request of a board that does not wait is still on its way.
      timeline.after(pauseMs, () => {
        this.succeeded += Number(isAnswered && this.heard.includes(number));
        this.exchange();
      });
    });
  }

  private advance(
    steps: ReturnType<typeof boardExchange>,
    number: number,
    input: Buffer | undefined,
    onEnd: (isAnswered: boolean) => void,
  ): void {
    const step = steps.next(input!);
    if (step.done) {
      const { value } = step;
      onEnd(value.kind === 'noreturn' || (value.kind === 'reply' && value.text === replyTo(number)));
    } else if (step.value.kind === 'send') {
      this.transmit(step.value.datagram, number);
      this.advance(steps, number, undefined, onEnd);
    } else if (step.value.kind === 'compute') {
      this.advance(steps, number, undefined, onEnd);
    } else {
      this.read((datagram) => (datagram ? this.advance(steps, number, datagram, onEnd) : onEnd(false)));
    }
  }

  private read(onRead: (datagram: Buffer | undefined) => void): void {
    const { timeline, timeoutMs = 10_000 } = this.options;
    if (this.unread.length > 0) {
      onRead(this.unread.shift());
      return;
    }
    const end = (datagram: Buffer | undefined) => {
      this.wake = undefined;
      onRead(datagram);
    };
    const cancel = timeline.after(timeoutMs, () => end(undefined));
    this.wake = () => {
      cancel();
      end(this.unread.shift());
    };
  }

  private pass(datagram: Buffer, number: number): void {
    const { server, timeline } = this.options;
    if (number >= 0 && datagram.length > HELLO.length) {
      this.requests.push(datagram);
    }
    const { now } = timeline;
    const decision = server.receive(datagram, this.remote, now);
    const name = decision.kind === 'rejected' ? decision.reason : decision.kind;
    this.decisions[name] = (this.decisions[name] ?? 0) + 1;
    this.act(decision);
  }

  private act(decision: Decision): void {
    const { server, timeline } = this.options;
    const { now } = timeline;
    if (decision.kind === 'pair') {
      this.deliver(decision.datagrams);
    } else if (decision.kind === 'request') {
      const { request, pending } = decision;
      this.heard.push(request.data as number);
      const reply = request.noreturn ? [] : server.reply(pending, replyTo(request.data as number), now);
      this.deliver(Array.isArray(reply) ? (reply as Buffer[]) : []);
      server.finish(pending, now);
    } else if (decision.kind === 'rejected') {
      this.deliver(decision.datagrams ?? []);
    }
  }

  private deliver(datagrams: readonly Buffer[]): void {
    for (const datagram of datagrams) {
      this.travel(() => this.store([datagram]));
    }
  }
}

/** Longer than a block, so that a board does not take part of it for part of a pair. */
function replyTo(number: number): string {
  return `{"data":"the answer to message ${number}"}`;
}
