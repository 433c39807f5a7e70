/**
 * A board for tests: speaks protocol v1 over real UDP with the habits of the upstream client, or protocol v2.
 */
import { isIP } from 'node:net';
import { MIN_V2_BUFFER_SIZE } from '../constants.js';
import { BenUdpError } from '../errors.js';
import { V2ClientExchange, type V2Failure } from '../exchange/index.js';
import { deriveKey } from '../keys/index.js';
import { type DatagramSocket, type Platform, nodePlatform } from '../net/index.js';
import { Sealer, createRandomBlockSource, formatRequest, parseReply } from '../protocol/index.js';
import type { BenUdpActionName, BenUdpData, BenUdpReply } from '../actions.js';
import { copyOf } from '../secret.js';
import { Agenda } from './agenda.js';
import { type BoardEnding, boardExchange } from './board-exchange.js';
import { FaultyLink, type LinkFaults } from './faulty-link.js';
import { Inbox } from './inbox.js';
import { Random } from './random.js';
import {
  type FaultDirection,
  type ResolvedBoardFaults,
  type ResolvedBoardOptions,
  type VirtualBoardOptions,
  resolveBoardOptions,
} from './virtual-board-options.js';

/** The types of a board without a map of actions, or with one. */
type UntypedOr<Actions, Untyped, Typed> = [keyof Actions] extends [never] ? Untyped : Typed;

/** How long a reordered datagram is held back, so that later ones overtake it. */
const OVERTAKE_MS = 20;

/** A request, as the dict that the upstream client takes. */
export interface BoardRequest {
  action?: unknown;
  data?: unknown;
}

/** The request for an action of a map: with `data` if the action has some, unless it is optional. */
export type BoardRequestOf<Name, Actions> = { readonly action: Name } & (BenUdpData<Name, Actions> extends
  undefined | void
  ? { readonly data?: undefined }
  : undefined extends BenUdpData<Name, Actions>
    ? { readonly data?: BenUdpData<Name, Actions> }
    : { readonly data: BenUdpData<Name, Actions> });

/** Counters of a board, its faults included. */
export interface VirtualBoardStats {
  /** Datagrams that the board sent, including lost ones. */
  readonly sent: number;
  /** Datagrams that the socket stored. */
  readonly received: number;
  /** Datagrams that the socket dropped because it had no free slot. */
  readonly dropped: number;
  /** Lost datagrams, both directions together. */
  readonly lost: number;
  /** Datagrams that arrived twice. */
  readonly duplicated: number;
  /** Datagrams that were held back. */
  readonly reordered: number;
  /** Exchanges with a wrong key. */
  readonly wrongKeys: number;
}

/**
 * A board for tests.
 *
 *     const board = await VirtualBoard.start({ key, port: transport.unwrap().address().port });
 *     expect(await board.send({ action: 'echo', data: 'hello' })).toBe('hello');
 *     await board.close();
 *
 * With `VirtualBoard.start<BenUdpActions>(…)` the compiler checks the actions, their data and their replies.
 *
 * @publicApi
 */
export class VirtualBoard<Actions = unknown> {
  private readonly options: Omit<ResolvedBoardOptions, 'key'>;
  private readonly v2: V2ClientExchange;
  private readonly sealer: Sealer;
  private readonly wrongSealer: Sealer;
  private readonly random: Random;
  private readonly inbox: Inbox;
  private readonly agenda: Agenda;
  private readonly toServer: FaultyLink;
  private readonly toBoard: FaultyLink;
  private socket!: DatagramSocket;
  private closing: Promise<void> | undefined;
  /** Settles with the previous exchange, because a board makes one at a time. */
  private turn: Promise<unknown> = Promise.resolve();
  private sent = 0;
  private wrongKeys = 0;

  private constructor(
    options: ResolvedBoardOptions,
    private readonly server: string,
    private readonly platform: Platform,
  ) {
    const { key, ...kept } = options;
    const { receiveSlots, readDelay, leftovers, faults } = kept;
    this.options = kept;
    const derived = deriveKey(key);
    this.sealer = new Sealer(derived, createRandomBlockSource(platform.randomFill));
    // The hash of the key is a key that no other device has.
    this.v2 = new V2ClientExchange({
      key: derived,
      bufferSize: Math.max(kept.bufferSize, MIN_V2_BUFFER_SIZE),
      random: platform.randomFill,
    });
    const wrong = deriveKey(derived);
    this.wrongSealer = new Sealer(wrong, createRandomBlockSource(platform.randomFill));
    derived.fill(0);
    wrong.fill(0);
    this.random = new Random(faults.seed);
    this.inbox = new Inbox({ slots: receiveSlots, readDelayMs: readDelay }, platform);
    leftovers.forEach((datagram) => this.inbox.store(copyOf(datagram)));
    this.agenda = new Agenda(platform);
    this.toServer = this.createLink('to-server');
    this.toBoard = this.createLink('to-board');
  }

  /**
   * Starts a board. Its socket is bound, like that of the upstream client after its constructor.
   *
   * @throws TypeError, RangeError naming the option that is wrong; the error of the system if the socket can't be bound or the host
   * is unknown.
   */
  static start<Actions = unknown>(options: VirtualBoardOptions): Promise<VirtualBoard<Actions>>;
  /**
   * @internal
   * @param platform replaces clock, timers, randomness and sockets in a simulator.
   */
  static start<Actions = unknown>(options: VirtualBoardOptions, platform: Platform): Promise<VirtualBoard<Actions>>;
  static async start<Actions>(
    options: VirtualBoardOptions,
    platform: Platform = nodePlatform,
  ): Promise<VirtualBoard<Actions>> {
    const resolved = resolveBoardOptions(options);
    const { host, localAddress, localPort, bufferSize } = resolved;
    const board = new VirtualBoard<Actions>(resolved, await platform.resolveHost(host, isIP(localAddress)), platform);
    board.socket = await platform.bindSocket(
      { host: localAddress, port: localPort, receiveBufferSize: undefined },
      {
        onDatagram: (datagram) => board.arrive(datagram.subarray(0, bufferSize)),
        onError: () => undefined,
      },
    );
    return board;
  }

  /** The address and port of the board. */
  get address(): { readonly address: string; readonly port: number } {
    return this.socket.address;
  }

  /** Datagrams that arrived and are still unread. They spoil the next exchange. */
  get leftovers(): number {
    return this.inbox.length;
  }

  /** A snapshot of the counters since the start. */
  getStats(): VirtualBoardStats {
    const [to, from] = [this.toServer.fates, this.toBoard.fates];
    return {
      sent: this.sent,
      ...this.inbox.counts,
      lost: to.lost + from.lost,
      duplicated: to.doubled + from.doubled,
      reordered: to.reordered + from.reordered,
      wrongKeys: this.wrongKeys,
    };
  }

  /**
   * Runs one exchange, as upstream's `client.send(dict, noreturn=False)`. A board runs one at a time, so calls wait for each other.
   *
   * @returns the result of upstream: the value under `data`, the whole text if there is no `data`, `{}` for `noreturn`.
   * @throws BenUdpError `BEN_TIMEOUT` if a datagram does not arrive (upstream: OSError), `BEN_BAD_REPLY` if the hash of a reply does
   * not match or an id can't be opened (upstream: Exception, ValueError), `BEN_CLOSED`; `BEN_REFUSED` if the server refuses a request
   * of protocol v2 twice.
   */
  send<Name extends BenUdpActionName<Actions>>(
    request: UntypedOr<Actions, BoardRequest, BoardRequestOf<Name, Actions>>,
    options?: { readonly noreturn?: false },
  ): Promise<UntypedOr<Actions, unknown, BenUdpReply<Name, Actions>>>;
  send<Name extends BenUdpActionName<Actions>>(
    request: UntypedOr<Actions, BoardRequest, BoardRequestOf<Name, Actions>>,
    options: { readonly noreturn?: boolean },
  ): Promise<unknown>;
  async send(request: BoardRequest, { noreturn = false } = {}): Promise<unknown> {
    const text = await this.exchange(formatRequest({ action: undefined, ...request, noreturn }), noreturn);
    return text === undefined ? {} : parseReply(text);
  }

  /**
   * Makes one exchange with any text as the request. Resolves to the text of the reply; `undefined` for `noreturn` or an empty datagram.
   */
  exchange(requestText: string, noreturn = false): Promise<string | undefined> {
    const result = this.turn.then(() => this.exchangeNow(requestText, noreturn));
    this.turn = result.catch(() => undefined);
    return result;
  }

  /** Sends one datagram to the server. */
  sendDatagram(datagram: Uint8Array): void {
    this.sent++;
    this.toServer.carry('', copyOf(datagram), this.platform.now(), (bytes) =>
      this.socket.send(bytes, this.options.port, this.server),
    );
  }

  /** The next datagram from any sender, as a separate Buffer. */
  async receive(): Promise<Buffer> {
    // A datagram that arrived twice is one Buffer in the inbox.
    return copyOf(await this.inbox.read(this.options.timeout));
  }

  /** Closes the socket. May be called more than once. Pending reads fail with `BEN_CLOSED`. */
  close(): Promise<void> {
    if (!this.closing) {
      this.agenda.stop();
      this.inbox.close();
      this.v2.dispose();
      this.closing = this.socket.close();
    }
    return this.closing;
  }

  /** As `close`: `await using board = await VirtualBoard.start(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async exchangeNow(requestText: string, noreturn: boolean): Promise<string | undefined> {
    if (this.closing) {
      throw new BenUdpError('BEN_CLOSED', 'the board was closed');
    }
    if (this.options.protocol === 'v2') {
      return this.exchangeV2(requestText, noreturn);
    }
    const { keyOrder } = this.options;
    const steps = boardExchange(this.chooseSealer(), { text: requestText, noreturn, keyOrder });
    try {
      let step = steps.next();
      while (!step.done) {
        let datagram: Buffer | undefined;
        if (step.value.kind === 'send') {
          this.sendDatagram(step.value.datagram);
        } else if (step.value.kind === 'read') {
          datagram = await this.receive();
        }
        step = steps.next(datagram!);
      }
      return textOf(step.value);
    } finally {
      steps.return({ kind: 'error', message: 'the board gave up' });
    }
  }

  private async exchangeV2(requestText: string, noreturn: boolean): Promise<string | undefined> {
    const { platform, v2 } = this;
    let step = v2.begin(requestText, noreturn, platform.now(), this.options.timeout);
    let end = 0;
    while (step.kind === 'send' || step.kind === 'ignored') {
      if (step.kind === 'send') {
        this.sendDatagram(step.datagram);
        end = platform.now() + step.waitMs;
      }
      const datagram = await this.readUntil(end);
      step = datagram ? v2.receive(datagram, platform.now()) : v2.elapse();
    }
    if (step.kind === 'failed') {
      throw V2_FAILURES[step.failure]();
    }
    return step.text;
  }

  /** The next datagram; `undefined` if none arrives in time. */
  private async readUntil(end: number): Promise<Buffer | undefined> {
    try {
      return await this.inbox.read(Math.max(0, end - this.platform.now()));
    } catch (error) {
      if (error instanceof BenUdpError && error.code === 'BEN_TIMEOUT') {
        return undefined;
      }
      throw error;
    }
  }

  private createLink(direction: Exclude<FaultDirection, 'both'>): FaultyLink {
    const { faults } = this.options;
    const link = new FaultyLink(this.agenda, this.random.fork());
    if (faults.direction === direction || faults.direction === 'both') {
      link.setFaults(toLinkFaults(faults));
    }
    return link;
  }

  private arrive(datagram: Buffer): void {
    this.toBoard.carry('', datagram, this.platform.now(), (bytes) => this.inbox.store(bytes));
  }

  private chooseSealer(): Sealer {
    const isWrong = this.random.chance(this.options.faults.wrongKey);
    this.wrongKeys += isWrong ? 1 : 0;
    return isWrong ? this.wrongSealer : this.sealer;
  }
}

/** As the errors of `device/ben2.py`: only `unknown` says that the request may have run. */
const V2_FAILURES: Readonly<Record<V2Failure, () => BenUdpError>> = {
  'no-answer': () => new BenUdpError('BEN_TIMEOUT', 'no answer to the opening: nothing ran'),
  unknown: () => new BenUdpError('BEN_TIMEOUT', 'no reply: the request may have run'),
  refused: () => new BenUdpError('BEN_REFUSED', 'the server refused the request twice: it did not run'),
  'bad-reply': () => new BenUdpError('BEN_BAD_REPLY', 'the reply is not text'),
};

function toLinkFaults({ loss, duplicate, reorder, delay }: ResolvedBoardFaults): Partial<LinkFaults> {
  return {
    loss,
    duplicate,
    duplicateMs: 0,
    reorder,
    reorderMs: [OVERTAKE_MS, OVERTAKE_MS],
    delayMs: delay / 2,
    jitterMs: delay / 2,
  };
}

function textOf(ending: BoardEnding): string | undefined {
  if (ending.kind === 'error') {
    throw new BenUdpError('BEN_BAD_REPLY', ending.message);
  }
  return ending.kind === 'reply' ? ending.text : undefined;
}
