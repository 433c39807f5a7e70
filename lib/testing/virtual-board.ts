/**
 * A board for tests: speaks the bytes of protocol v1 over real UDP as the upstream client does, with its habits. It has one
 * socket for life, takes datagrams strictly in order, trusts whoever sends them, and does not drain what is left over.
 */
import { isIP } from 'node:net';
import { BenUdpError } from '../errors.js';
import { openId, openReply, sealRequest } from '../exchange/index.js';
import { type DatagramSocket, type Platform, nodePlatform } from '../net/index.js';
import { HELLO, type Sealed, Sealer, formatRequest, parseReply } from '../protocol/index.js';
import { deriveKey } from '../keys/index.js';
import { FaultyLink, NO_FAULTS } from './faulty-link.js';
import { Inbox } from './inbox.js';
import { Random } from './random.js';
import { type ResolvedBoardOptions, type VirtualBoardOptions, resolveBoardOptions } from './virtual-board.options.js';

/** A request as upstream's client takes it: the dict. */
export interface BoardRequest {
  action?: unknown;
  data?: unknown;
}

/** What a board has seen so far, its faults included. */
export interface VirtualBoardStats {
  /** Datagrams it sent, lost ones among them. */
  readonly sent: number;
  /** Datagrams its socket took in; those it dropped are not among them. */
  readonly received: number;
  /** Datagrams it had no slot for. */
  readonly dropped: number;
  /** Datagrams lost on the way, in both directions. */
  readonly lost: number;
  /** Datagrams that arrived twice. */
  readonly duplicated: number;
  /** Datagrams that another one overtook. */
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
 * @publicApi
 */
export class VirtualBoard {
  private readonly options: Omit<ResolvedBoardOptions, 'key'>;
  private readonly sealer: Sealer;
  private readonly wrongSealer: Sealer;
  private readonly random: Random;
  private readonly inbox: Inbox;
  private readonly toServer: FaultyLink;
  private readonly toBoard: FaultyLink;
  private socket!: DatagramSocket;
  private closing: Promise<void> | undefined;
  /** Ends with the exchange before: a board makes one at a time. */
  private turn: Promise<unknown> = Promise.resolve();
  private sent = 0;
  private wrongKeys = 0;

  private constructor(
    options: ResolvedBoardOptions,
    private readonly server: string,
    platform: Platform,
  ) {
    const { key, ...kept } = options;
    const { port, receiveSlots, readDelay, leftovers, faults } = kept;
    this.options = kept;
    const derived = deriveKey(key);
    this.sealer = new Sealer(derived);
    // Its hash: another key, which as surely nobody has.
    const wrong = deriveKey(derived);
    this.wrongSealer = new Sealer(wrong);
    derived.fill(0);
    wrong.fill(0);
    this.random = new Random(faults.seed);
    this.inbox = new Inbox({ slots: receiveSlots, readDelayMs: readDelay }, platform);
    leftovers.forEach((datagram) => this.inbox.store(copyOf(datagram)));
    const link = (direction: 'to-server' | 'to-board', deliver: (datagram: Buffer) => void) => {
      const isMeant = faults.direction === direction || faults.direction === 'both';
      return new FaultyLink(isMeant ? faults : NO_FAULTS, this.random.fork(), deliver, platform);
    };
    this.toServer = link('to-server', (datagram) => this.socket.send(datagram, port, this.server));
    this.toBoard = link('to-board', (datagram) => this.inbox.store(datagram));
  }

  /**
   * A board with its socket bound, as upstream's client has after its constructor.
   *
   * @param platform replaces clock, timers and sockets.
   * @throws TypeError, RangeError naming the option that is wrong; the system's error where the socket can't be bound or the
   * server's name is unknown.
   */
  static async start(options: VirtualBoardOptions, platform: Platform = nodePlatform): Promise<VirtualBoard> {
    const resolved = resolveBoardOptions(options);
    const { host, localAddress, localPort, bufferSize } = resolved;
    const board = new VirtualBoard(resolved, await platform.resolveHost(host, isIP(localAddress)), platform);
    board.socket = await platform.bindSocket(
      { host: localAddress, port: localPort, receiveBufferSize: undefined },
      {
        onDatagram: (datagram) => board.toBoard.send(datagram.subarray(0, bufferSize)),
        onError: () => undefined,
      },
    );
    return board;
  }

  /** The board's own address and port. */
  get address(): { readonly address: string; readonly port: number } {
    return this.socket.address;
  }

  /** Datagrams that arrived and were not read; they spoil the next exchange. */
  get leftovers(): number {
    return this.inbox.length;
  }

  /** A snapshot of what the board has seen since it started. */
  getStats(): VirtualBoardStats {
    const [to, from] = [this.toServer.counts, this.toBoard.counts];
    return {
      sent: this.sent,
      ...this.inbox.counts,
      lost: to.lost + from.lost,
      duplicated: to.duplicated + from.duplicated,
      reordered: to.reordered + from.reordered,
      wrongKeys: this.wrongKeys,
    };
  }

  /**
   * One exchange, as upstream's `client.send(dict, noreturn=False)`. A board makes one at a time: calls wait for each other.
   *
   * @returns what upstream's returns: the value under `data`, the whole text where there is none, `{}` for `noreturn`.
   * @throws BenUdpError `BEN_TIMEOUT` where a datagram does not come (upstream: OSError), `BEN_BAD_REPLY` where the hash
   * of a reply does not fit or an id can't be opened (upstream: Exception, ValueError), `BEN_CLOSED`.
   */
  async send(request: BoardRequest, { noreturn = false } = {}): Promise<unknown> {
    const text = await this.exchange(formatRequest({ action: undefined, ...request, noreturn }), noreturn);
    return text === undefined ? {} : parseReply(text);
  }

  /** One exchange with any text as the request; the text of the reply, `undefined` for `noreturn` or an empty datagram. */
  exchange(requestText: string, noreturn = false): Promise<string | undefined> {
    const result = this.turn.then(() => this.exchangeNow(requestText, noreturn));
    this.turn = result.catch(() => undefined);
    return result;
  }

  /** Sends one datagram to the server. */
  sendDatagram(datagram: Uint8Array): void {
    this.sent++;
    this.toServer.send(copyOf(datagram));
  }

  /** The next datagram, whoever sent it, in memory of its own. */
  async receive(): Promise<Buffer> {
    // A datagram that arrived twice is one Buffer in the inbox.
    return copyOf(await this.inbox.read(this.options.timeout));
  }

  /** Closes the socket. May be called more than once; whoever waits for a datagram gets `BEN_CLOSED`. */
  close(): Promise<void> {
    if (!this.closing) {
      this.toServer.close();
      this.toBoard.close();
      this.inbox.close();
      this.closing = this.socket.close();
    }
    return this.closing;
  }

  private async exchangeNow(requestText: string, noreturn: boolean): Promise<string | undefined> {
    if (this.closing) {
      throw new BenUdpError('BEN_CLOSED', 'the board was closed');
    }
    const sealer = this.chooseSealer();
    this.sendDatagram(HELLO);
    const id = this.openId(sealer, { ciphertext: await this.receive(), iv: await this.receive() });
    this.sendDatagram(sealRequest(sealer, id, requestText, this.options.keyOrder));
    if (noreturn) {
      return undefined;
    }
    const hash = await this.receive();
    const iv = await this.receive();
    const ciphertext = await this.receive();
    if (ciphertext.length === 0) {
      // Upstream's client takes an empty datagram for an answer, before it checks anything.
      return undefined;
    }
    const text = openReply(sealer, id, hash, { ciphertext, iv });
    if (text === undefined) {
      throw new BenUdpError('BEN_BAD_REPLY', 'the reply does not verify');
    }
    return text;
  }

  private openId(sealer: Sealer, pair: Sealed): Buffer {
    try {
      return openId(sealer, pair);
    } catch (cause) {
      throw new BenUdpError('BEN_BAD_REPLY', 'the datagrams read are no sealed id and IV', { cause });
    }
  }

  private chooseSealer(): Sealer {
    const isWrong = this.random.chance(this.options.faults.wrongKey);
    this.wrongKeys += isWrong ? 1 : 0;
    return isWrong ? this.wrongSealer : this.sealer;
  }
}

/** Memory of its own: not Node's shared pool, and not a part of a longer datagram. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.alloc(bytes.length);
  copy.set(bytes);
  return copy;
}
