/**
 * A board for tests: speaks the bytes of protocol v1 over real UDP as the upstream client does, with its habits. It has one
 * socket for life, takes datagrams strictly in order, trusts whoever sends them, and does not drain what is left over.
 */
import { BenUdpError } from '../ben-udp.errors.js';
import { openId, openReply, sealRequest } from '../exchange/index.js';
import { type DatagramSocket, bindDatagramSocket } from '../net/index.js';
import { type EnvelopeKey, HELLO, Sealer, deriveKey, formatRequest, parseReply } from '../protocol/index.js';

export interface VirtualBoardOptions {
  /** What the key file on the board holds. */
  key: Uint8Array;
  /** The server's port. */
  port: number;
  /** The server's address. Default `127.0.0.1`. */
  host?: string;
  /** Milliseconds to wait for each datagram. Default 10000, as upstream. */
  timeout?: number;
  /** Bytes it can receive; longer datagrams are cut off. Default 4096, as upstream. */
  bufferSize?: number;
  /** Its own address; any of 127.0.0.0/8 is a board of its own. Default `127.0.0.1`. */
  localAddress?: string;
  /** Its own port; upstream's client takes the server's port number. Default 0, any free one. */
  localPort?: number;
  /** Order of the envelope's keys, arbitrary on a board. Default hash, data, iv. */
  keyOrder?: readonly EnvelopeKey[];
}

/** A request as upstream's client takes it: the dict. */
export interface BoardRequest {
  action?: unknown;
  data?: unknown;
}

export class VirtualBoard {
  private readonly unread: Buffer[] = [];
  private readonly readers: Array<(datagram: Buffer) => void> = [];
  private socket!: DatagramSocket;
  private readonly sealer: Sealer;

  private constructor(private readonly options: Required<VirtualBoardOptions>) {
    this.sealer = new Sealer(deriveKey(options.key));
  }

  /** A board with its socket bound, as upstream's client has after its constructor. */
  static async start(options: VirtualBoardOptions): Promise<VirtualBoard> {
    const board = new VirtualBoard({
      host: '127.0.0.1',
      timeout: 10_000,
      bufferSize: 4096,
      localAddress: '127.0.0.1',
      localPort: 0,
      keyOrder: ['hash', 'data', 'iv'],
      ...options,
    });
    board.socket = await bindDatagramSocket(
      {
        host: board.options.localAddress,
        port: board.options.localPort,
        receiveBufferSize: undefined,
      },
      { onDatagram: (datagram) => board.store(datagram), onError: () => undefined },
    );
    return board;
  }

  /** The board's own address and port. */
  get address(): { readonly address: string; readonly port: number } {
    return this.socket.address;
  }

  /** Datagrams that arrived and were not read; they spoil the next exchange. */
  get leftovers(): number {
    return this.unread.length;
  }

  /**
   * One exchange, as upstream's `client.send(dict, noreturn=False)`.
   *
   * @returns what upstream's returns: the value under `data`, the whole text where there is none, `{}` for `noreturn`.
   * @throws BenUdpError `BEN_TIMEOUT` where a datagram does not come (upstream: OSError), `BEN_BAD_REPLY` where the hash
   * does not fit (upstream: Exception).
   */
  async send(request: BoardRequest, { noreturn = false } = {}): Promise<unknown> {
    const text = await this.exchange(formatRequest({ action: undefined, ...request, noreturn }), noreturn);
    return text === undefined ? {} : parseReply(text);
  }

  /** One exchange with any text as the request; the text of the reply, `undefined` for `noreturn` or an empty datagram. */
  async exchange(requestText: string, noreturn = false): Promise<string | undefined> {
    const { sealer, options } = this;
    this.sendDatagram(HELLO);
    const id = openId(sealer, { ciphertext: await this.receive(), iv: await this.receive() });
    this.sendDatagram(sealRequest(sealer, id, requestText, options.keyOrder));
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

  /** Sends one datagram to the server. */
  sendDatagram(datagram: Uint8Array): void {
    this.socket.send(datagram, this.options.port, this.options.host);
  }

  /** The next datagram, whoever sent it. */
  async receive(): Promise<Buffer> {
    const next = this.unread.shift();
    if (next) {
      return next;
    }
    const { timeout } = this.options;
    return new Promise((resolve, reject) => {
      const reader = (datagram: Buffer) => {
        clearTimeout(timer);
        resolve(datagram);
      };
      const timer = setTimeout(() => {
        this.readers.splice(this.readers.indexOf(reader), 1);
        reject(new BenUdpError('BEN_TIMEOUT', `no datagram within ${timeout} ms`));
      }, timeout);
      this.readers.push(reader);
    });
  }

  async close(): Promise<void> {
    await this.socket.close();
  }

  private store(datagram: Buffer): void {
    const cut = datagram.subarray(0, this.options.bufferSize);
    const reader = this.readers.shift();
    if (reader) {
      reader(cut);
    } else {
      this.unread.push(cut);
    }
  }
}
