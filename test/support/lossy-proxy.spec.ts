import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Faults, LossyProxy } from './lossy-proxy.mjs';

interface Arrived {
  readonly text: string;
  readonly address: string;
  readonly port: number;
}

/** A socket that keeps what arrives. */
async function open(address = '127.0.0.1'): Promise<{ socket: Socket; port: number; arrived: Arrived[] }> {
  const socket = createSocket('udp4');
  const arrived: Arrived[] = [];
  socket.on('message', (datagram, remote) =>
    arrived.push({ text: datagram.toString('latin1'), address: remote.address, port: remote.port }),
  );
  socket.bind(0, address);
  await once(socket, 'listening');
  onTestFinished(async () => {
    socket.close();
    await once(socket, 'close');
  });
  return { socket, port: socket.address().port, arrived };
}

async function start(port: number, toServer: Faults, { seed = 1, toDevice = {} as Faults } = {}) {
  const proxy = await LossyProxy.start({ server: { port }, seed, toServer, toDevice });
  onTestFinished(() => proxy.close());
  return proxy;
}

/** Sends numbers from `first` on, one after the other, and waits until the proxy has them all. */
async function count(from: { socket: Socket }, proxy: LossyProxy, first: number, last: number): Promise<void> {
  const before = proxy.fates.toServer.sent ?? 0;
  for (let number = first; number <= last; number++) {
    from.socket.send(String(number), proxy.port, '127.0.0.1');
    await new Promise((resolve) => setImmediate(resolve));
  }
  await expect.poll(() => proxy.fates.toServer.sent).toBe(before + last - first + 1);
}

/** What arrives of 200 datagrams. */
async function carry(faults: Faults, seed?: number): Promise<string[]> {
  const server = await open();
  const proxy = await start(server.port, faults, { seed });
  await count(await open(), proxy, 1, 200);
  await expect.poll(() => server.arrived.length).toBe(proxy.fates.toServer.arrived);
  return server.arrived.map(({ text }) => text);
}

const NUMBERS = Array.from({ length: 200 }, (_, index) => String(index + 1));

describe('LossyProxy', () => {
  it('carries everything in order without faults', async () => {
    expect(await carry({})).toEqual(NUMBERS);
  });

  it('loses a share of all, the same ones for a seed and others for another', async () => {
    const arrived = await carry({ loss: 0.2 }, 7);
    expect(arrived.length).toBeGreaterThan(120);
    expect(arrived.length).toBeLessThan(190);
    expect(arrived).toEqual(NUMBERS.filter((number) => arrived.includes(number)));
    expect(await carry({ loss: 0.2 }, 7)).toEqual(arrived);
    expect(await carry({ loss: 0.2 }, 8)).not.toEqual(arrived);
  });

  it('doubles', async () => {
    const server = await open();
    const proxy = await start(server.port, { duplicate: 1, duplicateMs: 0 });
    await count(await open(), proxy, 1, 3);
    await expect.poll(() => server.arrived.map(({ text }) => text)).toEqual(['1', '1', '2', '2', '3', '3']);
  });

  it('holds some back, so that others overtake them, and loses none', async () => {
    const server = await open();
    const proxy = await start(server.port, { reorder: 0.1, reorderMs: [50, 80] });
    await count(await open(), proxy, 1, 200);
    await expect.poll(() => server.arrived.length).toBe(200);
    const texts = server.arrived.map(({ text }) => text);
    expect(texts).not.toEqual(NUMBERS);
    expect(texts.toSorted((a, b) => Number(a) - Number(b))).toEqual(NUMBERS);
  });

  it('delays, and keeps the order in spite of jitter', async () => {
    const server = await open();
    const proxy = await start(server.port, { delayMs: 50, jitterMs: 40 });
    const began = performance.now();
    await count(await open(), proxy, 1, 200);
    await expect.poll(() => server.arrived.length).toBe(200);
    expect(performance.now() - began).toBeGreaterThan(10);
    expect(server.arrived.map(({ text }) => text)).toEqual(NUMBERS);
  });

  it('flips bits', async () => {
    const arrived = await carry({ corrupt: 1 });
    expect(arrived.map((text) => text.length)).toEqual(NUMBERS.map((text) => text.length));
    // A bit that is flipped twice is unchanged.
    expect(arrived.filter((text, index) => text === NUMBERS[index]).length).toBeLessThan(20);
  });

  it('gives each client a port and, on loopback, its address; and brings answers back to whom they are for', async () => {
    const server = await open();
    const proxy = await start(server.port, {});
    const [one, two] = [await open('127.0.0.2'), await open('127.0.0.3')];
    await count(one, proxy, 1, 2);
    await count(two, proxy, 3, 3);
    await expect.poll(() => server.arrived.length).toBe(3);
    const [first, second, other] = server.arrived;
    expect([first!.address, second!.port, other!.address]).toEqual(['127.0.0.2', first!.port, '127.0.0.3']);
    expect(proxy.clients).toBe(2);
    server.socket.send('for one', first!.port, first!.address);
    server.socket.send('for two', other!.port, other!.address);
    await expect.poll(() => one.arrived).toEqual([{ text: 'for one', address: '127.0.0.1', port: proxy.port }]);
    await expect.poll(() => two.arrived).toEqual([{ text: 'for two', address: '127.0.0.1', port: proxy.port }]);
  });

  it('has faults of its own for each way, and takes other ones at any time', async () => {
    const server = await open();
    server.socket.on('message', (datagram, { port, address }) => server.socket.send(datagram, port, address));
    const proxy = await start(server.port, {}, { toDevice: { loss: 1 } });
    const client = await open();
    await count(client, proxy, 1, 3);
    await expect.poll(() => proxy.fates.toDevice.lost).toBe(3);
    expect([server.arrived.length, client.arrived.length]).toEqual([3, 0]);
    proxy.setFaults({ toServer: {}, toDevice: {} });
    await count(client, proxy, 4, 5);
    await expect.poll(() => client.arrived.map(({ text }) => text)).toEqual(['4', '5']);
  });
});
