/** Rules of the router that no single exchange shows: its memory, the frequency of its log lines, and hooks that fail. */
import { Logger } from '@nestjs/common';
import { Observable, concat, of, throwError } from 'rxjs';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { VerifiedRequest } from '../../lib/exchange/index.js';
import { type ResultPacket, BenUdpRouter } from '../../lib/nest/ben-udp.router.js';
import { WildcardPatterns } from '../../lib/nest/wildcard-patterns.js';
import { FakePlatform } from '../support/fake-platform.js';
import { LogRecorder } from '../support/nest-app.js';
import { remoteOf } from '../support/pure-device.js';

const TIMEOUT_MS = 10_000;

class TestRouter extends BenUdpRouter {
  protected override readonly signalOf = () => new AbortController().signal;

  constructor(readonly clock = new FakePlatform()) {
    super({ wildcards: true, timeout: TIMEOUT_MS }, clock);
    this.initializeDeserializer({});
  }

  ask(action: unknown, options: Partial<VerifiedRequest> = {}): ResultPacket | Promise<ResultPacket> {
    return this.route(
      { action, data: 1, noreturn: false, remote: remoteOf('10.0.0.7'), ...options } as VerifiedRequest,
      0,
    );
  }

  /** A handler whose result is this, as Nest registers it. */
  handle(pattern: unknown, result: (data: unknown) => unknown): void {
    this.addHandler(pattern, (async (data: unknown) => result(data)) as never);
  }

  // Nest's base class wants these.
  listen(): void {}
  close(): void {}
  on(): void {}
  unwrap<T>(): T {
    return undefined as T;
  }
}

let logs: LogRecorder;

beforeEach(() => {
  logs = new LogRecorder();
  Logger.overrideLogger(logs);
});
afterAll(() => Logger.overrideLogger(new Logger()));

describe('the handler of an action', () => {
  it('is looked up again once another one was added', async () => {
    const router = new TestRouter();
    router.handle('#', () => 'any');
    expect(await router.ask('a.b')).toMatchObject({ response: 'any' });
    router.handle('a.b', () => 'exact');
    expect(await router.ask('a.b')).toMatchObject({ response: 'exact' });
  });

  it('is remembered for 1024 actions, so that invented ones take no memory', async () => {
    const router = new TestRouter();
    router.handle('#', () => 'any');
    const lookup = vi.spyOn(WildcardPatterns.prototype, 'find');
    for (let number = 0; number <= 1024; number++) {
      await router.ask(`made.up.${number}`);
    }
    expect(lookup).toHaveBeenCalledTimes(1025);
    await router.ask('made.up.1023');
    expect(lookup).toHaveBeenCalledTimes(1025);
    await router.ask('made.up.1024');
    expect(lookup).toHaveBeenCalledTimes(1026);
    lookup.mockRestore();
  });

  it.each<[string, unknown, string]>([
    ['a list', ['echo'], "[ 'echo' ]"],
    ['a set', new Set(['echo']), "Set(1) { 'echo' }"],
    ['bytes', Buffer.from('echo'), '<Buffer 65 63 68 6f>'],
    ['a dict with a key that is no str', new Map([[1, 'echo']]), "Map(1) { 1 => 'echo' }"],
  ])('does not exist for %s, which the log shows', async (_what, action, shown) => {
    const router = new TestRouter();
    router.handle('echo', () => 1);
    expect(await router.ask(action)).toMatchObject({
      err: { message: expect.stringContaining('no matching message') },
    });
    expect(logs.of('error')).toEqual([expect.stringContaining(shown)]);
  });
});

describe('a handler behind a wildcard', () => {
  it.each<[string, Partial<VerifiedRequest>, () => unknown, RegExp]>([
    [
      'fails as an event',
      { noreturn: true },
      () => throwError(() => ({ status: 'error' })),
      /^error .*Event "a\.0" .*failed/,
    ],
    [
      'throws past the exception layer',
      {},
      () => {
        throw new Error('bug');
      },
      /^error .*An exception filter of "a\.0" threw/,
    ],
  ])('that %s is one log line, whatever actions a device makes up', async (_what, options, result, line) => {
    const router = new TestRouter();
    router.handle('#', result);
    for (let number = 0; number < 50; number++) {
      await router.ask(`a.${number}`, options);
    }
    expect(logs.of('error')).toEqual([expect.stringMatching(line)]);
  });
});

describe('a stream', () => {
  it('of a board that waits ends with its last value when the board has given up', async () => {
    const router = new TestRouter();
    const unsubscribed = vi.fn();
    router.handle('endless', () => concat(of(1, 2), new Observable(() => unsubscribed)));
    const outcome = Promise.resolve(router.ask('endless'));
    await new Promise((resolve) => setImmediate(resolve));
    router.clock.advance(TIMEOUT_MS - 1);
    expect(unsubscribed).not.toHaveBeenCalled();
    router.clock.advance(1);
    expect(unsubscribed).toHaveBeenCalledOnce();
    expect(await outcome).toEqual({ response: 2, isDisposed: true });
  });

  it('that ends leaves no timer', async () => {
    const router = new TestRouter();
    router.handle('short', () => of(1));
    expect(await router.ask('short')).toMatchObject({ response: 1 });
    expect(router.clock.pendingTimers).toBe(0);
  });

  it('of several values is warned of once for each handler, and not for an event', async () => {
    const router = new TestRouter();
    router.handle('told', () => of(1, 2));
    router.handle('asked', () => of(1, 2));
    await router.ask('told', { noreturn: true });
    expect(logs.of('warn')).toEqual([]);
    await router.ask('asked');
    await router.ask('asked');
    expect(logs.of('warn')).toEqual([expect.stringContaining('"asked" emitted 2 values')]);
  });
});

describe('an exception that a filter throws', () => {
  class ForeignRpcException extends Error {
    constructor(private readonly error: unknown) {
      super('of another copy of Nest');
    }
    getError() {
      return this.error;
    }
  }

  it.each([
    ['no', { status: 'error', message: 'no' }],
    [{ code: 7 }, { code: 7 }],
  ])('gives the board its getError(): %j', async (error, err) => {
    const router = new TestRouter();
    router.handle('filtered', () => {
      throw new ForeignRpcException(error);
    });
    expect(await router.ask('filtered')).toEqual({ err, isDisposed: true });
  });
});

describe.runIf('setOnProcessingStartHook' in BenUdpRouter.prototype)('the hooks of a tracing tool', () => {
  it('run around the handler, also the second one alone', async () => {
    const router = new TestRouter();
    const seen: string[] = [];
    router.handle('echo', () => seen.push('handler'));
    router.setOnProcessingEndHook(() => void seen.push('end'));
    await router.ask('echo');
    router.setOnProcessingStartHook((_transport, _context, done) => {
      seen.push('start');
      return done();
    });
    await router.ask('echo');
    expect(seen).toEqual(['handler', 'end', 'start', 'handler', 'end']);
  });

  it('reject the request if the first one fails', async () => {
    const router = new TestRouter();
    router.handle('echo', () => 1);
    router.setOnProcessingStartHook(() => Promise.reject(new Error('no span')));
    await expect(router.ask('echo')).rejects.toThrow('no span');
  });
});
