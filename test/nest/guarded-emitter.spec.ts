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
    await vi.waitFor(() => expect(failures).toEqual([thrown, rejected, rejected]));
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
});
