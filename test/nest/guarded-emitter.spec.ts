import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it, vi } from 'vitest';
import { GuardedEmitter } from '../../lib/nest/guarded-emitter.js';

type Events = { socket: (value: number) => unknown; request: () => unknown };

const store = new AsyncLocalStorage<string>();

function create(onFailure: (error: unknown) => void = () => undefined): GuardedEmitter<Events> {
  return new GuardedEmitter<Events>(onFailure, ['request']);
}

describe('GuardedEmitter', () => {
  it('reports the error that a listener throws or rejects with, and calls the next one', async () => {
    const failures: unknown[] = [];
    const emitter = create((error) => failures.push(error));
    const thrown = new Error('thrown');
    const rejected = new Error('rejected');
    emitter.on('request', () => Promise.reject(rejected));
    emitter.on('socket', () => Promise.reject(rejected));
    emitter.on('socket', () => {
      throw thrown;
    });
    emitter.emit('request');
    emitter.emit('socket', 1);
    await expect.poll(() => failures).toEqual([thrown, rejected, rejected]);
  });

  it('runs a listener in the async scope in which it was registered', () => {
    const emitter = create();
    const seen: unknown[] = [];
    store.run('registration', () => emitter.on('socket', (value) => seen.push(store.getStore(), value)));
    store.run('emission', () => emitter.emit('socket', 7));
    emitter.emit('socket', 8);
    expect(seen).toEqual(['registration', 7, 'registration', 8]);
  });

  it('keeps a store that a listener enters from the next call and from the emitter', () => {
    const emitter = create();
    const seen: unknown[] = [];
    emitter.on('socket', () => {
      seen.push(store.getStore());
      store.enterWith('entered');
    });
    emitter.emit('socket', 1);
    emitter.emit('socket', 2);
    expect(seen).toEqual([undefined, undefined]);
    expect(store.getStore()).toBeUndefined();
  });

  it("runs a listener of a request's event in the scope of the request", () => {
    const emitter = create();
    const seen: unknown[] = [];
    store.run('registration', () => emitter.on('request', () => seen.push(store.getStore())));
    store.run('request', () => emitter.emit('request'));
    expect(seen).toEqual(['request']);
  });

  it.each(['socket', 'request'] as const)('calls a listener of `once` for the next %s alone', (event) => {
    const emitter = create();
    const listener = vi.fn<() => void>();
    emitter.once(event, listener);
    expect(emitter.hasListeners(event)).toBe(true);
    emitter.emit(event, 1 as never);
    emitter.emit(event, 2 as never);
    expect(listener).toHaveBeenCalledTimes(1);
    expect(emitter.hasListeners(event)).toBe(false);
  });

  it.each(['socket', 'request'] as const)('removes a listener of %s by `off`, however it was registered', (event) => {
    const emitter = create();
    const [on, once, other] = [vi.fn<() => void>(), vi.fn<() => void>(), vi.fn<() => void>()];
    emitter.on(event, on);
    emitter.once(event, once);
    emitter.on(event, other);
    emitter.off(event, on);
    emitter.off(event, once);
    emitter.emit(event, 1 as never);
    expect([on.mock.calls.length, once.mock.calls.length, other.mock.calls.length]).toEqual([0, 0, 1]);
    emitter.off(event, other);
    expect(emitter.hasListeners(event)).toBe(false);
  });

  it('reports the error of a listener of `once`', async () => {
    const failures: unknown[] = [];
    const emitter = create((error) => failures.push(error));
    emitter.once('socket', () => Promise.reject(new Error('rejected')));
    emitter.emit('socket', 1);
    await expect.poll(() => failures).toEqual([new Error('rejected')]);
  });

  it('rejects the promises of `next` at the end, those also that nobody looks at', async () => {
    const emitter = create();
    // Vitest fails the run if its rejection is unhandled.
    void emitter.next('socket');
    const awaited = emitter.next('socket');
    emitter.endWaiting(new Error('closed'));
    await expect(awaited).rejects.toThrow('closed');
    await new Promise((resolve) => setImmediate(resolve));
    expect(emitter.hasListeners('socket')).toBe(false);
  });
});
