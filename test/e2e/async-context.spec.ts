/**
 * Async context: each request has a scope of its own, as a connection has over TCP. A store that a guard enters with
 * `enterWith`, as nestjs-cls does, used to stay with the socket, and so with the next request of any board.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Controller, Injectable, UseGuards } from '@nestjs/common';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { BenUdpClient, type BenUdpExchange } from 'nestjs-ben-udp';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';

const store = new AsyncLocalStorage<number>();
let entered = 0;
const seenByGuard: unknown[] = [];
const seenByEvent: unknown[] = [];

@Injectable()
class Enter {
  canActivate(): boolean {
    seenByGuard.push(store.getStore());
    store.enterWith(++entered);
    return true;
  }
}

@Controller()
class Stores {
  @UseGuards(Enter)
  @MessagePattern('guarded')
  async guarded() {
    await new Promise((resolve) => setImmediate(resolve));
    return store.getStore();
  }
  @MessagePattern('plain')
  plain() {
    return store.getStore() ?? null;
  }
  @MessagePattern('enters')
  enters() {
    store.enterWith(-1);
    return store.getStore();
  }
  @EventPattern<string>('told')
  told() {
    seenByEvent.push(store.getStore());
    store.enterWith(-2);
  }
}

describe('async context of a request', () => {
  it("holds what its guard entered, and nothing of other requests', of the same board or another", async () => {
    const { board, transport } = await startApp({ controllers: [Stores] });
    const ended: Array<[pattern: string, store: unknown]> = [];
    transport.on('exchange', ({ pattern }) => ended.push([pattern, store.getStore()]));
    const [one, other] = await Promise.all([board(), board()]);
    const first = entered;
    expect(await one.send({ action: 'guarded' })).toBe(first + 1);
    expect(await one.send({ action: 'guarded' })).toBe(first + 2);
    expect(await one.send({ action: 'plain' })).toBeNull();
    expect(await one.send({ action: 'enters' })).toBe(-1);
    expect(await other.send({ action: 'plain' })).toBeNull();
    await one.send({ action: 'told' }, { noreturn: true });
    await expect.poll(() => seenByEvent).toHaveLength(1);
    await one.send({ action: 'told' }, { noreturn: true });
    await expect.poll(() => ended.filter(([pattern]) => pattern === 'told')).toHaveLength(2);
    expect(seenByEvent).toEqual([undefined, undefined]);
    expect(seenByGuard).toEqual([undefined, undefined]);
    expect(ended).toEqual([
      ['guarded', first + 1],
      ['guarded', first + 2],
      ['plain', undefined],
      // A store that is entered after an await stays within the function that awaited, here as over TCP.
      ['enters', undefined],
      ['plain', undefined],
      ['told', undefined],
      ['told', undefined],
    ]);
  });

  it('keeps many requests at once apart', async () => {
    const { board } = await startApp({ controllers: [Stores] });
    const boards = await Promise.all(Array.from({ length: 10 }, () => board()));
    const answers = await Promise.all(boards.map((each) => each.send({ action: 'guarded' })));
    expect(new Set(answers).size).toBe(boards.length);
  });

  it('is not touched by a subscriber or a listener of rejected datagrams', async () => {
    const { board, transport } = await startApp({ controllers: [Stores] });
    const enter = () => store.enterWith(-3);
    subscribe('nestjs-ben-udp:rejected', enter);
    onTestFinished(() => void unsubscribe('nestjs-ben-udp:rejected', enter));
    const rejected = vi.fn(enter);
    transport.on('rejected', rejected);
    const device = await board();
    device.sendDatagram(Buffer.from('junk'));
    await expect.poll(() => rejected).toHaveBeenCalled();
    expect(await device.send({ action: 'plain' })).toBeNull();
  });

  it('is that of the request for a subscriber of the channel of exchanges', async () => {
    const { board } = await startApp({ controllers: [Stores] });
    const seen: unknown[] = [];
    const note = (message: unknown) => seen.push([(message as BenUdpExchange).pattern, store.getStore()]);
    subscribe('nestjs-ben-udp:exchange', note);
    onTestFinished(() => void unsubscribe('nestjs-ben-udp:exchange', note));
    const answer = await (await board()).send({ action: 'guarded' });
    await expect.poll(() => seen).toEqual([['guarded', answer]]);
  });
});

describe("async context of a client's request", () => {
  it('is that of its subscription, over shared sockets, queued, retried and given up', async () => {
    const { port } = await startApp({ controllers: [Stores] });
    const client = new BenUdpClient({ port, key: KEY_CONTENTS, maxSockets: 2 });
    onTestFinished(() => client.close());
    const seen = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.run(
          index,
          () =>
            new Promise((resolve) => client.send('plain', index).subscribe({ next: () => resolve(store.getStore()) })),
        ),
      ),
    );
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => index));
    // Nobody listens on port 1: each attempt ends by a timer.
    const silent = new BenUdpClient({ port: 1, key: KEY_CONTENTS, timeout: 20, retries: 1, maxSockets: 1 });
    onTestFinished(() => silent.close());
    const failed = await Promise.all(
      [1, 2, 3].map((index) =>
        store.run(
          index,
          () =>
            new Promise((resolve) => silent.send('plain', index).subscribe({ error: () => resolve(store.getStore()) })),
        ),
      ),
    );
    expect(failed).toEqual([1, 2, 3]);
  });

  it('does not stay with the client: a later request knows nothing of it', async () => {
    const { port } = await startApp({ controllers: [Stores] });
    const client = new BenUdpClient({ port, key: KEY_CONTENTS });
    onTestFinished(() => client.close());
    await store.run(7, async () => {
      store.enterWith(8);
      await firstValueFrom(client.send('plain', 1));
    });
    await firstValueFrom(client.send('plain', 1));
    expect(store.getStore()).toBeUndefined();
  });
});
