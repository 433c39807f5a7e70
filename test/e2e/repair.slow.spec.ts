/**
 * Boards that are out of step, over real UDP: virtual ones and real MicroPython. A `noreturn` board with an unread datagram
 * in its socket reports success each time and is never heard again, unless the server knows which datagrams it reads.
 *
 * BEN_RUNS sets how many boards of each kind meet each mishap; `npm run test:repair` takes 100.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { describe, expect, it } from 'vitest';
import { Logger } from '@nestjs/common';
import { type DatagramSocket, type Platform, nodePlatform } from '../../lib/net/index.js';
import { VirtualBoard } from '../../lib/testing/index.js';
import { MicroPythonBoard } from '../../tools/micropython/board.mjs';
import { FakePlatform } from '../support/fake-platform.js';

const RUNS = Number(process.env['BEN_RUNS'] ?? 2);
/** Many runs take their time. */
const TEST_MS = 120_000 + RUNS * 10_000;
const KEY = Buffer.alloc(32, 'r');
const MESSAGES = 10;
/** Messages before the mishap. */
const BEFORE = 2;
/** The timeout of the boards in real time, and the one that the server assumes. A busy machine may take most of it for one answer. */
const TIMEOUT_MS = 1500;
/** The time of the server between two messages. A second hello within a tenth of the timeout would count as a duplicate. */
const PAUSE_MS = TIMEOUT_MS / 4;

Logger.overrideLogger(false);

/** A board of either kind. */
interface Board {
  readonly port: number;
  /** Whether the board takes its message for sent, or its question for answered. */
  send(number: number, noreturn: boolean): Promise<boolean>;
  /** Says hello and does not read the answer. */
  sayHello(): Promise<void>;
  close(): Promise<void>;
}

type Kind = (port: number) => Promise<Board>;

const KINDS: Record<string, Kind> = {
  'a virtual board': async (port) => {
    const board = await VirtualBoard.start({ key: KEY, port, timeout: TIMEOUT_MS });
    return {
      port: board.address.port,
      send: (data, noreturn) =>
        board.send({ action: 'note', data }, { noreturn }).then(
          () => true,
          () => false,
        ),
      sayHello: async () => board.sendDatagram(Buffer.from('/GETID')),
      close: () => board.close(),
    };
  },
  'real MicroPython': async (port) => {
    const board = await MicroPythonBoard.start({ key: KEY, port, timeoutMs: TIMEOUT_MS });
    return {
      port: board.address.port,
      send: (data, noreturn) =>
        board.send(`{"action": "note", "data": ${data}}`, { noreturn }).then(
          () => true,
          () => false,
        ),
      sayHello: async () => void (await board.run(`client.socket.sendto(b"/GETID", ("127.0.0.1", ${port}))`)),
      close: () => board.close(),
    };
  },
};

/**
 * The network of the server. It damages the next pair on demand. The clock of the server stands still until the test moves it, so
 * a busy machine makes no hello stale and no reply late.
 */
class FlawedNetwork extends FakePlatform {
  flaw: 'double' | 'delay' | undefined;
  private readonly delayed: Array<() => void> = [];
  private readonly marker = createSocket('udp4');
  private markerPort = 0;
  private serverPort = 0;
  private onMarkerRead: () => void = () => undefined;

  override readonly bindSocket: Platform['bindSocket'] = async (options, handlers) => {
    const socket = await nodePlatform.bindSocket(options, {
      ...handlers,
      onDatagram: (datagram, remote) => {
        handlers.onDatagram(datagram, remote);
        if (remote.port === this.markerPort) {
          this.onMarkerRead();
        }
      },
    });
    this.serverPort = socket.address.port;
    const send = socket.send.bind(socket);
    return Object.assign(socket, { send: (...args: Parameters<typeof send>) => this.pass(send, args) });
  };

  async open(): Promise<void> {
    this.marker.bind(0, '127.0.0.1');
    await once(this.marker, 'listening');
    this.markerPort = this.marker.address().port;
  }

  async close(): Promise<void> {
    this.marker.close();
    await once(this.marker, 'close');
  }

  /**
   * Delivers the delayed datagrams, then lets time pass for the server. A marker that the server has read shows that it has also
   * read everything that was sent before, so no hello gets the time of a later one.
   */
  async rest(ms = PAUSE_MS): Promise<void> {
    this.delayed.splice(0).forEach((deliver) => deliver());
    const isRead = new Promise<void>((resolve) => (this.onMarkerRead = resolve));
    this.marker.send('marker', this.serverPort, '127.0.0.1');
    await isRead;
    this.advance(ms);
  }

  private pass(send: DatagramSocket['send'], args: Parameters<DatagramSocket['send']>): void {
    const { flaw } = this;
    const [, , , isFollowed] = args;
    if (!isFollowed) {
      this.flaw = undefined;
    }
    if (flaw === 'delay') {
      this.delayed.push(() => send(...args));
      return;
    }
    send(...args);
    if (flaw === 'double' && !isFollowed) {
      send(...args);
    }
  }
}

interface Mishap {
  /** Between two messages, or by way of the network in the message that comes next. */
  readonly strike: (board: Board, network: FlawedNetwork) => Promise<void>;
  readonly isInNextMessage?: boolean;
  /** How many of a board's messages it may cost. */
  readonly bound: number;
}

const MISHAPS: Record<string, Mishap> = {
  'a stray datagram': { strike: (board) => throwAt(board, [16]), bound: 3 },
  'two stray datagrams': { strike: (board) => throwAt(board, [16, 16]), bound: 3 },
  'a late reply': { strike: (board) => throwAt(board, [32, 16, 48]), bound: 4 },
  'a hello in its name': {
    strike: async (board, network) => {
      await board.sayHello();
      await network.rest();
    },
    bound: 3,
  },
  'a doubled datagram': {
    strike: async (_board, network) => void (network.flaw = 'double'),
    isInNextMessage: true,
    bound: 3,
  },
  'a late pair': {
    strike: async (_board, network) => void (network.flaw = 'delay'),
    isInNextMessage: true,
    bound: 3,
  },
};

/** Sends datagrams of these lengths from another sender. */
async function throwAt({ port }: Board, lengths: number[]): Promise<void> {
  const socket = createSocket('udp4');
  for (const length of lengths) {
    await new Promise((resolve) => socket.send(Buffer.alloc(length, 0xa5), port, '127.0.0.1', resolve));
  }
  socket.close();
  await once(socket, 'close');
}

async function startServer(
  options: { repair: boolean; port?: number },
  heard: Set<number>,
  network: FlawedNetwork,
): Promise<BenUdpTransport> {
  const transport = new BenUdpTransport(
    { host: '127.0.0.1', port: 0, key: KEY, timeout: TIMEOUT_MS, ...options },
    network,
  );
  transport.addHandler('note', async (number: number) => {
    if (heard.has(number)) {
      throw new Error(`message ${number} was heard twice`);
    }
    heard.add(number);
    return null as never;
  });
  await new Promise<void>((resolve, reject) =>
    transport.listen((error) => (error ? reject(error as Error) : resolve())),
  );
  return transport;
}

/** A shutdown waits by the clock of the server. */
async function close(transport: BenUdpTransport, network: FlawedNetwork): Promise<void> {
  const state = { isClosed: false };
  const closed = transport.close().finally(() => (state.isClosed = true));
  while (!state.isClosed) {
    network.advance(10);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
}

/** Runs one board through one mishap; returns the numbers of the messages that were not heard. */
async function run(
  kind: Kind,
  { strike, isInNextMessage = false }: Mishap,
  { noreturn, repair = true, restart = false }: { noreturn: boolean; repair?: boolean; restart?: boolean },
): Promise<number[]> {
  const heard = new Set<number>();
  const network = new FlawedNetwork();
  await network.open();
  const restartBefore = isInNextMessage ? BEFORE + 1 : BEFORE;
  let transport = await startServer({ repair }, heard, network);
  const { port } = transport.unwrap().address();
  const board = await kind(port);
  for (let number = 0; number < MESSAGES; number++) {
    if (number === BEFORE) {
      await strike(board, network);
    }
    if (restart && number === restartBefore) {
      await close(transport, network);
      transport = await startServer({ repair, port }, heard, network);
    }
    const isSent = await board.send(number, noreturn);
    await network.rest(isSent ? PAUSE_MS : TIMEOUT_MS + PAUSE_MS);
  }
  await board.close();
  await close(transport, network);
  await network.close();
  return Array.from({ length: MESSAGES }, (_, number) => number).filter((number) => !heard.has(number));
}

/** Runs of one test at once. With more, boards would wait longer for the processor than for an answer. */
const AT_ONCE = 2;

/** All runs, each with a server of its own. */
async function runAll(...args: Parameters<typeof run>): Promise<number[][]> {
  const lost: number[][] = [];
  for (let first = 0; first < RUNS; first += AT_ONCE) {
    const count = Math.min(AT_ONCE, RUNS - first);
    lost.push(...(await Promise.all(Array.from({ length: count }, () => run(...args)))));
  }
  return lost;
}

describe.concurrent.each(Object.entries(KINDS))('%s', (_kind, kind) => {
  describe.each(Object.entries(MISHAPS))('after %s', (_name, mishap) => {
    it.each([
      { noreturn: true, restart: false },
      { noreturn: false, restart: false },
      { noreturn: true, restart: true },
      { noreturn: false, restart: true },
    ])(`loses at most ${mishap.bound} messages, then none: %o`, { timeout: TEST_MS }, async (options) => {
      for (const lost of await runAll(kind, mishap, options)) {
        expect(lost.length, `lost ${lost.join()}`).toBeLessThanOrEqual(mishap.bound);
        expect(lost.filter((number) => number >= MESSAGES - 3)).toEqual([]);
      }
    });
  });

  it.each(Object.entries(MISHAPS))(
    'is never heard again after %s if repair is off',
    { timeout: TEST_MS },
    async (_name, mishap) => {
      const later = Array.from({ length: MESSAGES - BEFORE - 1 }, (_, index) => index + BEFORE + 1);
      for (const lost of await runAll(kind, mishap, { noreturn: true, repair: false })) {
        expect(lost.filter((number) => number > BEFORE)).toEqual(later);
      }
    },
  );
});
