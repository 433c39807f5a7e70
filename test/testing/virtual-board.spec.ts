/** Each habit, quirk and fault of the virtual board, against a Nest app: over real UDP, or in memory if an exchange must time out. */
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import type { VirtualBoard, VirtualBoardFaults, VirtualBoardOptions } from 'nestjs-ben-udp/testing';
import { describe, expect, it } from 'vitest';
import type { BenUdpTransportOptions } from 'nestjs-ben-udp';
import { MemoryNetwork } from '../support/memory-network.js';
import { startApp } from '../support/nest-app.js';

@Controller()
class Handlers {
  static readonly noted: unknown[] = [];

  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }

  @EventPattern('note')
  note(@Payload() data: unknown) {
    Handlers.noted.push(data);
  }
}

/** A server without repair, so the effect of a fault on a board is seen. */
const start = (options: BenUdpTransportOptions = {}) =>
  startApp({ controllers: [Handlers] }, { repair: false, shutdownTimeout: 50, ...options });

/** The same on a network in memory. `play` lets time pass there. */
async function startInMemory(options: BenUdpTransportOptions = {}) {
  const network = new MemoryNetwork();
  const server = { repair: false, shutdownTimeout: 0, ...options };
  const { transport, board } = await startApp({ controllers: [Handlers] }, server, undefined, network);
  return {
    transport,
    network,
    board: (boardOptions: Partial<VirtualBoardOptions> = {}) => board(boardOptions, network),
    play: <T>(outcome: Promise<T>) => network.play(outcome),
  };
}

/** The result of `send`: the value, or the code of the error. */
function ending(board: VirtualBoard, data: unknown = 1): Promise<unknown> {
  return board.send({ action: 'echo', data }).catch((error: { code?: string }) => error.code);
}

describe('VirtualBoard', () => {
  it('finds the server by name', async () => {
    const { board } = await start();
    expect(await ending(await board({ host: 'localhost' }))).toBe(1);
  });

  it('keeps one socket for life', async () => {
    const { board, transport } = await start();
    const device = await board();
    await ending(device);
    await ending(device);
    expect(transport.getDevices()).toEqual([expect.objectContaining({ port: device.address.port, requests: 2 })]);
  });

  it('makes one exchange at a time, in the order of the calls', async () => {
    const { board } = await start();
    const device = await board();
    const answers = [1, 2, 3].map((data) => device.send({ action: 'echo', data }));
    expect(await Promise.all(answers)).toEqual([1, 2, 3]);
    expect(device.getStats()).toMatchObject({ sent: 6, received: 15 });
  });

  it('continues after a failed exchange', async () => {
    const { board, play } = await startInMemory();
    const device = await board();
    const endings = [ending(device, Buffer.alloc(3000, 1)), ending(device, 2)];
    expect(await play(Promise.all(endings))).toEqual(['BEN_TIMEOUT', 2]);
  });

  it('cuts off a datagram that is longer than its buffer', async () => {
    const { board } = await start();
    expect(await ending(await board({ bufferSize: 64 }), 'x'.repeat(100))).toBe('BEN_BAD_REPLY');
  });

  it('can be closed twice, and fails pending reads', async () => {
    const { board } = await start();
    const device = await board({ timeout: 60_000 });
    const waiting = device.receive();
    const closing = device.close();
    await expect(waiting).rejects.toMatchObject({ code: 'BEN_CLOSED' });
    await Promise.all([closing, device.close()]);
    await expect(device.send({ action: 'echo' })).rejects.toMatchObject({ code: 'BEN_CLOSED' });
  });

  it('rejects if its port is in use', async () => {
    const { board, port } = await start();
    await expect(board({ localPort: port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('sends from a fixed port: the number of the server, as upstream', async () => {
    const { board, port } = await start();
    const device = await board({ localAddress: '127.0.0.2', localPort: port });
    expect(device.address).toMatchObject({ address: '127.0.0.2', port });
    expect(await ending(device)).toBe(1);
  });
});

describe('receiveSlots: 1', () => {
  it('loses the second datagram of a burst, as a server without datagramGap sends it', async () => {
    const { board, play } = await startInMemory();
    const device = await board({ receiveSlots: 1 });
    expect(await play(ending(device))).toBe('BEN_TIMEOUT');
    expect(device.getStats()).toMatchObject({ received: 1, dropped: 1 });
  });

  it('loses nothing if the server has a datagramGap', async () => {
    const { board, play } = await startInMemory({ datagramGap: 100 });
    const device = await board({ receiveSlots: 1 });
    expect(await play(ending(device))).toBe(1);
    expect(device.getStats()).toMatchObject({ received: 5, dropped: 0 });
  });

  it('does not harm a board that reads faster than datagrams arrive', async () => {
    const { board, play } = await startInMemory();
    expect(await play(ending(await board({ receiveSlots: 1, readDelay: 0 })))).toBe(1);
  });
});

describe('receive', () => {
  const facts = ({ byteOffset, length, buffer }: Buffer) => [byteOffset, length, buffer.byteLength];

  it('yields datagrams in memory of their own, leftovers and those that were cut off too', async () => {
    const { board } = await start();
    const given = Buffer.from('stray');
    const device = await board({ leftovers: [given, Buffer.alloc(0)], bufferSize: 7 });
    given.fill(0);
    const leftover = await device.receive();
    expect(leftover.toString()).toBe('stray');
    expect(facts(leftover)).toEqual([0, 5, 5]);
    expect(facts(await device.receive())).toEqual([0, 0, 0]);
    device.sendDatagram(Buffer.from('/GETID'));
    expect(facts(await device.receive())).toEqual([0, 7, 7]);
    expect(facts(await device.receive())).toEqual([0, 7, 7]);
  });

  it('yields a datagram that arrived twice as two Buffers that share nothing', async () => {
    const { board } = await start();
    const device = await board({ faults: { duplicate: 1, direction: 'to-board' } });
    device.sendDatagram(Buffer.from('/GETID'));
    const [first, second] = [await device.receive(), await device.receive()];
    expect(second).toEqual(first);
    first.fill(0);
    expect(second).not.toEqual(first);
  });
});

describe('leftovers', () => {
  it('shift the datagrams that are read, so that the request does not verify', async () => {
    const { board, transport, play } = await startInMemory();
    const device = await board({ leftovers: [Buffer.alloc(16)] });
    expect(await play(ending(device))).toBe('BEN_TIMEOUT');
    expect(device.getStats().received).toBe(3);
    expect(transport.getStats().rejected['bad-hash']).toBe(1);
  });

  it('are healed by a server that repairs', async () => {
    const { board, play } = await startInMemory({ repair: true });
    Handlers.noted.length = 0;
    const device = await board({ leftovers: [Buffer.alloc(16)] });
    for (const data of [1, 2, 3, 4]) {
      // The server withholds one answer, so the board reads its unread datagrams.
      await play(device.send({ action: 'note', data }, { noreturn: true }).catch(() => undefined));
    }
    await play(Promise.resolve());
    expect(Handlers.noted).toContain(4);
    expect(device.leftovers).toBe(0);
  });

  it('that are no blocks make an id that cannot be opened', async () => {
    const { board } = await start();
    const device = await board({ leftovers: [Buffer.from('stray')] });
    expect(await ending(device)).toBe('BEN_BAD_REPLY');
  });
});

describe('faults', () => {
  /** The result of one exchange of a board with these faults. */
  async function exchangeWith(faults: VirtualBoardFaults, serverOptions: BenUdpTransportOptions = {}) {
    const { board, transport, network, play } = await startInMemory(serverOptions);
    const device = await board({ timeout: 150, faults });
    const answer = await play(ending(device));
    return { answer, device, board: device.getStats(), server: transport.getStats(), network };
  }

  it('lose the datagrams of the board, so the server receives nothing', async () => {
    const { answer, board, server } = await exchangeWith({ loss: 1, direction: 'to-server' });
    expect(answer).toBe('BEN_TIMEOUT');
    expect(board).toMatchObject({ sent: 1, lost: 1, received: 0 });
    expect(server.received).toBe(0);
  });

  it('lose the datagrams of the server, so the board receives nothing', async () => {
    const { answer, board, server } = await exchangeWith({ loss: 1, direction: 'to-board' });
    expect(answer).toBe('BEN_TIMEOUT');
    expect(board).toMatchObject({ sent: 1, lost: 2, received: 0 });
    expect(server.hellos).toBe(1);
  });

  it('double the datagrams of the board: the server accepts each once, and the board notices nothing', async () => {
    const { answer, board, server } = await exchangeWith({ duplicate: 1, direction: 'to-server' });
    expect(answer).toBe(1);
    expect(board).toMatchObject({ sent: 2, duplicated: 2, received: 5 });
    expect(server).toMatchObject({ hellos: 1, requests: 1 });
    expect(server.rejected).toMatchObject({ 'duplicate-hello': 1, replayed: 1 });
  });

  it('double the datagrams of the server: the board takes the second copy for the next datagram', async () => {
    const { answer, board, server } = await exchangeWith({ duplicate: 1, direction: 'to-board' });
    expect(answer).toBe('BEN_TIMEOUT');
    expect(board).toMatchObject({ sent: 2, duplicated: 2, received: 4 });
    expect(server.rejected['bad-hash']).toBe(1);
  });

  it('delay the ciphertext of the pair, so that the board takes the IV for it', async () => {
    const { answer, board, server } = await exchangeWith({ reorder: 0.3, seed: 9, direction: 'to-board' });
    expect(answer).toBe('BEN_TIMEOUT');
    expect(board.reordered).toBe(1);
    expect(server.rejected['bad-hash']).toBe(1);
  });

  it('delay both directions, in order: the exchange takes longer and succeeds', async () => {
    const { answer } = await exchangeWith({ delay: 30, seed: 3 });
    expect(answer).toBe(1);
  });

  it('delay longer than the board waits', async () => {
    const { answer, device, network } = await exchangeWith({ delay: 2000, direction: 'to-board', seed: 5 });
    expect(answer).toBe('BEN_TIMEOUT');
    await network.pass(2000);
    expect(device.leftovers).toBe(2);
  });

  it('use a wrong key: the server can not read the request', async () => {
    const { answer, board, server } = await exchangeWith({ wrongKey: 1 });
    expect(answer).toBe('BEN_TIMEOUT');
    expect(board.wrongKeys).toBe(1);
    expect(server.rejected['bad-hash']).toBe(1);
  });

  it('come in the same places with the same seed, and in other places with another seed', async () => {
    const { board, play } = await startInMemory();
    const run = async (seed: number) => {
      const device = await board({ faults: { loss: 0.1, duplicate: 0.05, wrongKey: 0.1, seed } });
      const endings = [];
      for (let number = 0; number < 12; number++) {
        endings.push(await ending(device, number));
      }
      return { endings, stats: device.getStats() };
    };
    const [first, second, other] = await play(Promise.all([run(11), run(11), run(12)]));
    expect(second).toEqual(first);
    expect(other).not.toEqual(first);
    expect(first.stats.lost).toBeGreaterThan(0);
    expect(first.endings).toContain('BEN_TIMEOUT');
  });
});
