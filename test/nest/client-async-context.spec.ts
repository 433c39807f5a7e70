/**
 * Async context of the client: the callbacks of a request run in the scope of its `send` and its subscription, although
 * requests share sockets, timers and a queue. The machine is scripted, so each reply arrives in another scope.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Logger } from '@nestjs/common';
import { type Subscription, finalize } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { BenUdpClient } from '../../lib/nest/ben-udp.client.js';
import type { BenUdpClientOptions } from '../../lib/nest/ben-udp.client-options.js';
import { BenUdpRecordBuilder } from '../../lib/nest/ben-udp.record-builder.js';
import { deriveKey } from '../../lib/keys/index.js';
import { ScriptedPlatform, type ScriptedSocket, settle } from '../support/scripted-platform.js';
import { SERVER, ScriptedServer } from '../support/scripted-server.js';

const key = Buffer.alloc(32, 'k');
const server = new ScriptedServer(deriveKey(key));
const scope = new AsyncLocalStorage<string>();

beforeAll(() => Logger.overrideLogger(false));
afterAll(() => Logger.overrideLogger(new Logger()));

function create(options: BenUdpClientOptions = {}) {
  const platform = new ScriptedPlatform();
  platform.names.set('ben.test', SERVER.address);
  const client = new BenUdpClient({ key, host: 'ben.test', port: SERVER.port, ...options }, platform);
  onTestFinished(() => client.close());
  const seen: unknown[] = [];
  /** Records the scope in which a callback of a request runs. */
  const note = (what: string) => void seen.push(`${what} in ${scope.getStore()}`);
  /** Subscribes to a message, and records its result. */
  const send = (pattern: string, retries = 0): Subscription => {
    const record = new BenUdpRecordBuilder(1).setRetries(retries).setTimeout(1000).build();
    return client.send(pattern, record).subscribe({
      next: () => note(`value of ${pattern}`),
      error: () => note(`error of ${pattern}`),
      complete: () => note(`end of ${pattern}`),
    });
  };
  return { client, platform, seen, note, send };
}

/** A request is answered while another scope is active, that of a request which was never made. */
async function answer(socket: ScriptedSocket): Promise<void> {
  for (const datagram of [...server.pair(), ...server.reply('{"data":1}')]) {
    scope.run('a stranger', () => socket.receiveNow(datagram));
    await settle();
  }
}

describe("the scope of a client's request", () => {
  it('is that of its subscription, for several at once over shared sockets and for queued ones', async () => {
    const { platform, seen, send } = create({ maxSockets: 2 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      scope.run(name, () => void send(name));
    }
    await settle();
    expect(platform.sockets).toHaveLength(2);
    const [one, two] = platform.sockets as [ScriptedSocket, ScriptedSocket];
    for (const socket of [two, one, one, two, one]) {
      await answer(socket);
    }
    expect(seen.toSorted()).toEqual(
      ['a', 'b', 'c', 'd', 'e']
        .flatMap((name) => [`end of ${name} in ${name}`, `value of ${name} in ${name}`])
        .toSorted(),
    );
  });

  it('is the scope at the time of the subscription, even if another scope is entered later', async () => {
    const { platform, seen, send } = create({ maxSockets: 1 });
    await new AsyncLocalStorage<number>().run(1, async () => {
      scope.enterWith('first');
      send('a');
      scope.enterWith('second');
      send('b');
      await settle();
      scope.enterWith('third');
      await answer(platform.sockets[0]!);
      await answer(platform.sockets[0]!);
    });
    expect(seen).toEqual(['value of a in first', 'end of a in first', 'value of b in second', 'end of b in second']);
  });

  it('is that of the subscription and not that of send', async () => {
    const { client, platform, seen, note } = create();
    const stream = scope.run('send', () => client.send('a', 1));
    scope.run('subscribe', () => stream.subscribe(() => note('value')));
    await settle();
    await answer(platform.sockets[0]!);
    expect(seen).toEqual(['value in subscribe']);
  });

  it('is kept by a retry, by an error, and by a request that a lookup held', async () => {
    const { platform, seen, send } = create({ maxSockets: 1, idleTimeout: 600_000 });
    scope.run('retried', () => void send('a', 1));
    scope.run('failed', () => void send('b'));
    await settle();
    await scope.run('a stranger', () => platform.advance(1000));
    await answer(platform.openSockets[0]!);
    await scope.run('a stranger', () => platform.advance(1000));
    let tell!: (address: string) => void;
    platform.names.set('ben.test', new Promise((resolve) => (tell = resolve)));
    await platform.advance(60_001);
    scope.run('held', () => void send('c'));
    scope.run('held too', () => void send('d'));
    await settle();
    scope.run('a stranger', () => tell(SERVER.address));
    await settle();
    await answer(platform.openSockets[0]!);
    await answer(platform.openSockets[0]!);
    expect(seen).toEqual([
      'value of a in retried',
      'end of a in retried',
      'error of b in failed',
      'value of c in held',
      'end of c in held',
      'value of d in held too',
      'end of d in held too',
    ]);
  });

  it('is kept by the next request after one that was cancelled from another scope', async () => {
    const { client, platform, seen, send, note } = create({ maxSockets: 1 });
    const running = scope.run('running', () =>
      client
        .send('a', 1)
        .pipe(finalize(() => note('teardown')))
        .subscribe(() => note('value of a')),
    );
    const queued = scope.run('queued', () => send('b'));
    scope.run('next', () => void send('c'));
    await settle();
    scope.run('a stranger', () => {
      queued.unsubscribe();
      running.unsubscribe();
    });
    await settle();
    await answer(platform.openSockets[0]!);
    // The caller of unsubscribe runs the teardown itself, as always with rxjs.
    expect(seen).toEqual(['teardown in a stranger', 'value of c in next', 'end of c in next']);
  });

  it('is kept by errors of close, of the queue, of a lookup and of a socket', async () => {
    const { client, platform, seen, send } = create({ maxSockets: 1, maxQueue: 0 });
    platform.names.clear();
    scope.run('unknown', () => void send('a'));
    await settle();
    platform.names.set('ben.test', SERVER.address);
    platform.bindError = new Error('bind EMFILE');
    scope.run('unbound', () => void send('b'));
    await settle();
    platform.bindError = undefined;
    scope.run('running', () => void send('c'));
    scope.run('too many', () => void send('d'));
    await settle();
    await scope.run('a stranger', () => client.close());
    await settle();
    expect(seen).toEqual([
      'error of a in unknown',
      'error of b in unbound',
      'error of d in too many',
      'error of c in running',
    ]);
  });

  it('is that of the serializer and the deserializer', async () => {
    const seen: unknown[] = [];
    const note = (what: string) => void seen.push(`${what} in ${scope.getStore()}`);
    const { platform, send } = create({
      maxSockets: 1,
      serializer: {
        serialize: async (packet: unknown) => {
          note('serialize');
          await Promise.resolve();
          return packet;
        },
      },
      deserializer: {
        deserialize: (packet: unknown) => {
          note('deserialize');
          return packet as never;
        },
      },
    });
    scope.run('a', () => void send('a'));
    scope.run('b', () => void send('b'));
    await settle();
    await answer(platform.sockets[0]!);
    await answer(platform.sockets[0]!);
    expect(seen).toEqual(['serialize in a', 'serialize in b', 'deserialize in a', 'deserialize in b']);
  });

  it('is kept by an event', async () => {
    const { client, platform, seen, note } = create();
    scope.run('event', () => client.emit('log', 1).subscribe({ complete: () => note('sent') }));
    await settle();
    for (const datagram of server.pair()) {
      scope.run('a stranger', () => platform.sockets[0]!.receiveNow(datagram));
      await settle();
    }
    expect(seen).toEqual(['sent in event']);
  });

  it('is not changed for other callbacks by a callback that enters another scope', async () => {
    const { client, platform, seen, note } = create({ maxSockets: 1 });
    for (const name of ['a', 'b']) {
      scope.run(name, () =>
        client.send(name, 1).subscribe(() => {
          note(`value of ${name}`);
          scope.enterWith(`left over from ${name}`);
        }),
      );
    }
    client.send('c', 1).subscribe(() => note('value of c'));
    await settle();
    for (let request = 0; request < 3; request++) {
      await answer(platform.sockets[0]!);
    }
    expect(seen).toEqual(['value of a in a', 'value of b in b', 'value of c in undefined']);
    expect(scope.getStore()).toBeUndefined();
  });
});
