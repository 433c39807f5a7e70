import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type VerifiedRequest, openId, sealRequest } from '../../lib/exchange/index.js';
import { KeyRing } from '../../lib/keys/index.js';
import { HELLO, Sealer } from '../../lib/protocol/index.js';
import { type Answer, Listener, type ListenerOptions } from '../../lib/server/index.js';
import { LISTENER_OPTIONS } from '../support/listener-options.js';
import { KEY, remoteOf } from '../support/pure-device.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

const TIMEOUT_MS = 10_000;
/** A reply to the first request of a device leaves within nine tenths of its timeout. */
const LATEST_REPLY_MS = TIMEOUT_MS * 0.9;

const OPTIONS: ListenerOptions = {
  ...LISTENER_OPTIONS,
  timeout: TIMEOUT_MS,
  inFlight: { maxInFlight: 10, maxInFlightPerDevice: 1, maxQueuedEvents: 5 },
};

interface Held {
  readonly request: VerifiedRequest;
  readonly receivedAt: number;
  readonly end: () => Promise<void>;
}

/** A listener whose handlers end when the test says so. */
async function start(options: Partial<ListenerOptions> = {}) {
  const platform = new ScriptedPlatform();
  const held: Held[] = [];
  const listener = await Listener.bind(
    { ...OPTIONS, ...options },
    new KeyRing([{ device: 'hall', key: KEY }]),
    {
      onRequest: (request, receivedAt) =>
        new Promise<Answer>((resolve) => {
          const end = () => {
            resolve({ text: '{"data":1}', isError: false });
            return settle();
          };
          held.push({ request, receivedAt, end });
        }),
      onRejected: () => undefined,
      onRefused: () => undefined,
      onEnded: () => undefined,
      onError: (error) => {
        throw error;
      },
      onSendError: () => undefined,
    },
    platform,
  );
  onTestFinished(() => listener.close().catch(() => undefined));
  const socket = platform.sockets[0]!;
  const sayHello = (port: number) => socket.receive([HELLO], remoteOf('10.0.0.9', port));
  /** A device says hello and sends a request. */
  const ask = async (port: number, noreturn = false) => {
    const sealer = new Sealer(KEY);
    socket.sent.length = 0;
    await sayHello(port);
    const [ciphertext, iv] = socket.sent as [Buffer, Buffer];
    const text = `{'action': 'slow'${noreturn ? ", 'noreturn': True" : ''}}`;
    await socket.receive([sealRequest(sealer, openId(sealer, { ciphertext, iv }), text)], remoteOf('10.0.0.9', port));
  };
  /** Moves the clock in steps, so timers that are set meanwhile fire too. */
  const advance = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 10) {
      await platform.advance(Math.min(10, ms - passed));
    }
  };
  return { platform, listener, socket, held, ask, sayHello, advance };
}

const reasonOf = ({ aborted, reason }: AbortSignal) => aborted && (reason as { code: string }).code;

describe('the signal of a handler', () => {
  it('is made when it is asked for, and is the same each time', async () => {
    const { listener, held, ask, platform } = await start();
    await ask(1);
    const before = platform.pendingTimers;
    const signal = listener.signalOf(held[0]!.request);
    expect(listener.signalOf(held[0]!.request)).toBe(signal);
    expect(platform.pendingTimers).toBe(before + 1);
    expect(signal.aborted).toBe(false);
  });

  it('fires when no reply may be sent any more, and not before', async () => {
    const { listener, socket, held, ask, platform } = await start();
    await ask(1);
    const signal = listener.signalOf(held[0]!.request);
    await platform.advance(LATEST_REPLY_MS);
    expect(signal.aborted).toBe(false);
    await platform.advance(2);
    expect(reasonOf(signal)).toBe('BEN_TIMEOUT');
    expect(listener.signalOf(held[0]!.request)).toBe(signal);
    socket.sent.length = 0;
    await held[0]!.end();
    expect(socket.sent).toEqual([]);
  });

  it('has fired if it is asked for too late', async () => {
    const { listener, held, ask, platform } = await start();
    await ask(1);
    await platform.advance(TIMEOUT_MS);
    expect(reasonOf(listener.signalOf(held[0]!.request))).toBe('BEN_TIMEOUT');
    await ask(2);
    await platform.advance(TIMEOUT_MS / 2);
    await held[1]!.end();
  });

  it('fires when the device says hello again, and not for a hello of another device', async () => {
    const { listener, held, ask, sayHello, platform } = await start();
    await ask(1);
    const signal = listener.signalOf(held[0]!.request);
    await platform.advance(TIMEOUT_MS / 2);
    await sayHello(2);
    expect(signal.aborted).toBe(false);
    await sayHello(1);
    expect(reasonOf(signal)).toBe('BEN_TIMEOUT');
    expect((signal.reason as Error).message).toContain('next hello or request');
  });

  it('has fired if the device has asked again before it is asked for', async () => {
    const { listener, held, ask, sayHello, platform } = await start();
    await ask(1);
    await platform.advance(TIMEOUT_MS / 2);
    await sayHello(1);
    expect(reasonOf(listener.signalOf(held[0]!.request))).toBe('BEN_TIMEOUT');
  });

  it('does not fire for a copy of a hello, because the device still waits', async () => {
    const { listener, held, ask, sayHello, platform } = await start();
    await ask(1);
    const signal = listener.signalOf(held[0]!.request);
    await platform.advance(10);
    await sayHello(1);
    expect(signal.aborted).toBe(false);
  });

  it('does not fire after the handler has ended, and leaves no timer', async () => {
    const { listener, held, ask, sayHello, platform } = await start();
    await ask(1);
    const timers = platform.pendingTimers;
    const signal = listener.signalOf(held[0]!.request);
    await held[0]!.end();
    expect(platform.pendingTimers).toBe(timers);
    await platform.advance(1000);
    await sayHello(1);
    await platform.advance(TIMEOUT_MS);
    expect(signal.aborted).toBe(false);
    expect(listener.signalOf(held[0]!.request).aborted).toBe(false);
    await listener.drain(0);
    expect(signal.aborted).toBe(false);
  });

  it('never times out for an event, because nobody waits for it', async () => {
    const { listener, held, ask, sayHello, platform } = await start();
    await ask(1, true);
    const signal = listener.signalOf(held[0]!.request);
    await platform.advance(10 * TIMEOUT_MS);
    await sayHello(1);
    expect(signal.aborted).toBe(false);
  });

  it('works for a queued event, which keeps the time of its arrival', async () => {
    const { listener, held, ask, platform } = await start();
    await ask(1, true);
    const queuedAt = platform.now();
    await ask(1, true);
    expect(held).toHaveLength(1);
    await platform.advance(500);
    await held[0]!.end();
    expect(held[1]!.receivedAt).toBe(queuedAt);
    const signal = listener.signalOf(held[1]!.request);
    expect(signal.aborted).toBe(false);
    await listener.drain(0);
    expect(reasonOf(signal)).toBe('BEN_CLOSED');
  });

  it('fires in the last tenth of a shutdown, so the handler can still end', async () => {
    const { listener, socket, held, ask, advance } = await start();
    await ask(1);
    const signal = listener.signalOf(held[0]!.request);
    const draining = listener.drain(1000);
    await advance(890);
    expect(signal.aborted).toBe(false);
    await advance(20);
    expect(reasonOf(signal)).toBe('BEN_CLOSED');
    socket.sent.length = 0;
    await held[0]!.end();
    expect(socket.sent).toHaveLength(3);
    await advance(20);
    expect(await draining).toEqual([]);
  });

  it('fires for a handler that a shutdown does not wait for, also if it is asked for afterwards', async () => {
    const { listener, held, ask } = await start();
    await ask(1);
    await ask(2);
    const signal = listener.signalOf(held[0]!.request);
    expect(await listener.drain(0)).toHaveLength(2);
    expect(reasonOf(signal)).toBe('BEN_CLOSED');
    expect(reasonOf(listener.signalOf(held[1]!.request))).toBe('BEN_CLOSED');
  });

  it('fires in the async scope of its request, not in that of the next datagram', async () => {
    const { listener, held, ask, sayHello, platform } = await start();
    const storage = new AsyncLocalStorage<string>();
    await ask(1);
    const seen = vi.fn<(store: string | undefined) => void>();
    storage.run('request', () =>
      listener.signalOf(held[0]!.request).addEventListener('abort', () => seen(storage.getStore())),
    );
    await platform.advance(TIMEOUT_MS / 2);
    await storage.run('other', () => sayHello(1));
    expect(seen.mock.calls).toEqual([['request']]);
  });
});
