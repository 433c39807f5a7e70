/** Sockets, queue, timeouts and retries of a client on a simulated machine. The specs of `BenUdpClient` use real sockets. */
import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import type { BenUdpRequestError } from '../../lib/errors.js';
import {
  RequestClient,
  type RequestClientHandlers,
  type RequestClientOptions,
} from '../../lib/client/request-client.js';
import type { ClientRequest } from '../../lib/client/request-book.js';
import { REFUSED_DELAY_MS } from '../../lib/client/request-failure.js';
import { LOOKUP_PATIENCE_MS, MAX_ADDRESS_AGE_MS } from '../../lib/client/server-address.js';
import { Sealer } from '../../lib/protocol/index.js';
import { cpuMs, measureGrowth } from '../support/growth.js';
import { KEY } from '../support/pure-device.js';
import { ScriptedPlatform, type ScriptedSocket, settle } from '../support/scripted-platform.js';
import { SERVER, ScriptedServer } from '../support/scripted-server.js';

const TEXT = "{'action': 'echo', 'data': 1}";
const server = new ScriptedServer(KEY);

interface Setup {
  readonly client: RequestClient;
  readonly platform: ScriptedPlatform;
  readonly reports: unknown[];
  /** Sends a request. The result changes when the request ends. */
  ask(input?: Partial<ClientRequest>, signal?: AbortSignal): Promise<Result>;
}

interface Result {
  text?: string | undefined;
  error?: BenUdpRequestError;
  isSettled: boolean;
}

async function create(
  options: Partial<RequestClientOptions> = {},
  onIgnored?: RequestClientHandlers['onIgnored'],
  names: ReadonlyMap<string, string> = new Map(),
): Promise<Setup> {
  const platform = new ScriptedPlatform();
  names.forEach((address, name) => platform.names.set(name, address));
  const reports: unknown[] = [];
  const handlers: RequestClientHandlers = {
    onIgnored: onIgnored ?? ((reason, remote) => reports.push([reason, remote.port])),
    onError: (error) => reports.push(error),
  };
  const client = await RequestClient.create(
    {
      host: SERVER.address,
      port: SERVER.port,
      localAddress: undefined,
      localPort: 0,
      bufferSize: 4096,
      maxSockets: 2,
      maxQueue: 3,
      idleTimeout: 30_000,
      ...options,
    },
    new Sealer(KEY),
    handlers,
    platform,
  );
  const ask = async (input: Partial<ClientRequest> = {}, signal?: AbortSignal) => {
    const result: Result = { isSettled: false };
    client
      .request(
        { text: TEXT, noreturn: false, pattern: 'echo', timeout: 1000, retries: 0, idempotent: false, ...input },
        signal,
      )
      .then(
        (text) => Object.assign(result, { text }),
        (error: BenUdpRequestError) => Object.assign(result, { error }),
      )
      .finally(() => (result.isSettled = true));
    await settle();
    return result;
  };
  return { client, platform, reports, ask };
}

/** The server answers the request of a socket. */
async function answer(socket: ScriptedSocket, text = '{"data":1}'): Promise<void> {
  await socket.receive(server.pair());
  await socket.receive(server.reply(text));
}

describe('ask', () => {
  it('binds a socket for the first request, and resolves to the text of the reply', async () => {
    const { platform, ask, client } = await create();
    expect(platform.bound).toEqual([]);
    const result = await ask();
    expect(platform.bound).toEqual([{ host: '0.0.0.0', port: 0, receiveBufferSize: undefined }]);
    const [socket] = platform.sockets;
    expect(socket!.sent.map(String)).toEqual(['/GETID']);
    await socket!.receive(server.pair());
    expect(server.open(socket!.sent[1]!)).toBe(TEXT);
    expect(result.isSettled).toBe(false);
    await socket!.receive(server.reply('{"data":1}'));
    expect(result).toEqual({ text: '{"data":1}', isSettled: true });
    expect(client.stats()).toMatchObject({ requests: 1, outcomes: { answered: 1 }, running: 0, sockets: 1 });
  });

  it('of noreturn is done when the request was handed to the socket', async () => {
    const { platform, ask, client } = await create();
    const result = await ask({ noreturn: true });
    const [socket] = platform.sockets;
    await socket!.receive(server.pair().slice(0, 1));
    expect(result.isSettled).toBe(false);
    await socket!.receive(server.pair().slice(1));
    expect(socket!.sent).toHaveLength(2);
    expect(result).toEqual({ text: undefined, isSettled: true });
    expect(client.stats().outcomes.sent).toBe(1);
  });

  it('of noreturn fails if the system refuses the datagram', async () => {
    const { platform, ask } = await create();
    const result = await ask({ noreturn: true });
    const [socket] = platform.sockets;
    socket!.sendError = Object.assign(new Error('send EPERM'), { code: 'EPERM' });
    await socket!.receive(server.pair());
    expect(result.error).toMatchObject({ code: 'BEN_SOCKET', step: 'request', cause: socket!.sendError });
    const next = await ask();
    await answer(platform.sockets[1]!);
    expect(next.text).toBe('{"data":1}');
  });

  it('sends from localAddress, and from an IPv6 address if the server has one', async () => {
    const { platform, ask } = await create({ localAddress: '10.0.0.9' });
    await ask();
    expect(platform.bound[0]!.host).toBe('10.0.0.9');
    const six = await create({ host: '0:0:0:0:0:0:0:1' });
    const result = await six.ask();
    expect(six.platform.bound[0]!.host).toBe('::');
    const [socket] = six.platform.sockets;
    await socket!.receive([...server.pair(), ...server.reply('{"data":1}')], { address: '::1', port: SERVER.port });
    expect(result.text).toBe('{"data":1}');
  });

  it('refuses at once, without a datagram, a request that might not fit the buffer of the server', async () => {
    const { platform, ask } = await create({ bufferSize: 1024 });
    // 64 characters are sealed in 80 bytes; 200 take more than 1024 characters only if most bytes are unprintable.
    const text = `'${'x'.repeat(1000)}'`;
    const result = await ask({ text });
    expect(result.error).toMatchObject({ code: 'BEN_REQUEST_TOO_LARGE', step: 'waiting', attempts: 0 });
    expect(result.error!.message).toMatch(/up to \d+ bytes, and the server's buffer holds 1024/);
    expect(platform.bound).toEqual([]);
    const fits = await ask({ text: TEXT });
    await answer(platform.sockets[0]!);
    expect(fits.text).toBeDefined();
  });

  it('fails if the name of the server is unknown', async () => {
    await expect(create({ host: 'no-such-host.invalid' })).rejects.toMatchObject({
      code: 'BEN_HOST_UNKNOWN',
      cause: { syscall: 'getaddrinfo' },
    });
  });
});

describe('timeout', () => {
  it.each([
    [0, 'hello'],
    [1, 'id'],
    [2, 'request'],
    [3, 'reply'],
    [4, 'reply'],
  ] as const)('after %i datagrams of the server names the step: %s', async (count, step) => {
    const { platform, ask, client } = await create();
    const result = await ask({ pattern: 'measure' });
    const datagrams = [...server.pair(), ...server.reply('{"data":1}')].slice(0, count);
    for (const datagram of datagrams) {
      await platform.advance(999);
      await platform.sockets[0]!.receive([datagram]);
    }
    await platform.advance(999);
    expect(result.isSettled).toBe(false);
    await platform.advance(1);
    expect(result.error).toMatchObject({
      name: 'BenUdpRequestError',
      code: 'BEN_TIMEOUT',
      pattern: 'measure',
      peer: { host: SERVER.address, port: SERVER.port },
      step,
      elapsedMs: count * 999 + 1000,
      attempts: 1,
    });
    expect(result.error!.message).toContain('"measure" to 10.0.0.1:8585 failed: no answer within 1000 ms');
    expect(client.stats()).toMatchObject({ outcomes: { failed: 1 }, running: 0 });
  });

  it('is not extended by ignored datagrams', async () => {
    const { platform, ask } = await create();
    const result = await ask();
    await platform.advance(900);
    await platform.sockets[0]!.receive([Buffer.alloc(16)], { address: '10.0.0.66', port: SERVER.port });
    await platform.sockets[0]!.receive([Buffer.alloc(5)]);
    await platform.advance(100);
    expect(result.error).toMatchObject({ code: 'BEN_TIMEOUT', step: 'hello' });
  });

  it.each([1, 2, 3])(
    'reads the socket once more: after a pause of the process %i of 3 datagrams may be unread',
    async (count) => {
      const { platform, ask } = await create();
      const result = await ask();
      await platform.sockets[0]!.receive(server.pair());
      const reply = server.reply('{"data":1}');
      const late = platform.advance(1000);
      reply.slice(0, count).forEach((datagram) => platform.sockets[0]!.receiveNow(datagram));
      await late;
      expect(result.isSettled).toBe(count === 3);
      await platform.advance(999);
      await platform.sockets[0]!.receive(reply.slice(count));
      expect(result.text).toBe('{"data":1}');
    },
  );

  it('counts the time in the queue into elapsedMs', async () => {
    const { platform, ask } = await create({ maxSockets: 1 });
    await ask();
    const second = await ask();
    await platform.advance(1000);
    await platform.advance(1000);
    expect(second.error).toMatchObject({ code: 'BEN_TIMEOUT', elapsedMs: 2000, attempts: 1 });
  });

  it('of an answer that does not verify is a bad reply', async () => {
    const { platform, ask } = await create();
    const result = await ask();
    await platform.sockets[0]!.receive([...server.pair(), ...new ScriptedServer(KEY, '99').reply('{"data":1}')]);
    expect(result.isSettled).toBe(false);
    await platform.advance(1000);
    expect(result.error).toMatchObject({ code: 'BEN_BAD_REPLY', step: 'reply' });
  });

  it('ends early after too many datagrams that do not verify', async () => {
    const { platform, ask } = await create();
    const result = await ask();
    const noise = Array.from({ length: 8 }, (_, index) => Buffer.alloc(16, index + 1));
    await platform.sockets[0]!.receive([...server.pair(), ...noise]);
    expect(result.error).toMatchObject({ code: 'BEN_BAD_REPLY', step: 'reply' });
  });
});

describe('a socket', () => {
  it('is reused after a successful exchange, and knows late copies of its datagrams', async () => {
    const { platform, ask, client } = await create();
    await ask();
    const [socket] = platform.sockets;
    const pair = server.pair();
    const reply = server.reply('{"data":"sixteen bytes"}');
    await socket!.receive([...pair, ...reply]);
    const second = await ask();
    await socket!.receive([...pair, ...reply]);
    expect(client.stats().ignored.duplicate).toBe(5);
    await socket!.receive([...server.pair(), ...server.reply('{"data":2}')]);
    expect(second.text).toBe('{"data":2}');
    expect(platform.sockets).toHaveLength(1);
  });

  it('is closed after a failed exchange, so late datagrams reach a closed port', async () => {
    const { platform, ask, client } = await create({ maxSockets: 1 });
    await ask();
    await platform.advance(1000);
    const second = await ask();
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    await answer(platform.sockets[1]!);
    expect(second.text).toBe('{"data":1}');
    expect(client.stats().sockets).toBe(1);
  });

  it('ignores strangers, and counts and reports them', async () => {
    const { platform, ask, client, reports } = await create();
    const result = await ask();
    const [socket] = platform.sockets;
    const stranger = { address: '10.0.0.66', port: 1 };
    await socket!.receive([...server.pair(), ...server.reply('{"data":"forged"}')], stranger);
    await socket!.receive([Buffer.alloc(3)]);
    await answer(socket!);
    await socket!.receive([Buffer.alloc(16)]);
    expect(result.text).toBe('{"data":1}');
    expect(client.stats().ignored).toEqual({
      'other-sender': 5,
      'wrong-size': 1,
      reflected: 0,
      duplicate: 0,
      'bad-hash': 0,
      unasked: 1,
    });
    const foreign = Array.from({ length: 5 }, () => ['other-sender', 1]);
    expect(reports).toEqual([...foreign, ['wrong-size', 8585], ['unasked', 8585]]);
  });

  it('goes on if the handler of ignored datagrams throws', async () => {
    const { platform, ask, reports } = await create({}, () => {
      throw new Error('listener');
    });
    const result = await ask();
    await platform.sockets[0]!.receive([Buffer.alloc(3)]);
    expect(reports).toEqual([new Error('listener')]);
    await answer(platform.sockets[0]!);
    expect(result.text).toBe('{"data":1}');
  });

  it('keeps the process alive only during an exchange', async () => {
    const { platform, ask } = await create({ maxSockets: 1 });
    const first = await ask();
    const [socket] = platform.sockets;
    expect(socket!.isReferenced).toBe(true);
    await ask();
    await answer(socket!);
    expect(first.isSettled).toBe(true);
    expect(socket!.isReferenced).toBe(true);
    await answer(socket!);
    expect(socket!.isReferenced).toBe(false);
  });

  it('is closed after idleTimeout, the least used first', async () => {
    const { platform, ask, client } = await create({ idleTimeout: 5000 });
    await Promise.all([ask(), ask()]);
    const [one, two] = platform.sockets;
    await answer(one!);
    await answer(two!);
    await platform.advance(4000);
    await ask();
    expect(two!.sent).toHaveLength(3);
    await answer(two!);
    await platform.advance(1000);
    expect([one!.isClosed, two!.isClosed]).toEqual([true, false]);
    await platform.advance(4000);
    expect([one!.isClosed, two!.isClosed]).toEqual([true, true]);
    expect(client.stats().sockets).toBe(0);
    expect(platform.pendingTimers).toBe(0);
    const third = await ask();
    await answer(platform.sockets[2]!);
    expect(third.text).toBe('{"data":1}');
  });

  it('that fails during an exchange fails the request, and is not reused', async () => {
    const { platform, ask } = await create();
    const result = await ask();
    const broken = new Error('broken');
    platform.sockets[0]!.fail(broken);
    await settle();
    expect(result.error).toMatchObject({ code: 'BEN_SOCKET', step: 'hello', cause: broken });
    expect(platform.sockets[0]!.isClosed).toBe(true);
  });

  it('that fails while it is idle is reported and not reused', async () => {
    const { platform, ask, reports } = await create();
    await ask();
    await answer(platform.sockets[0]!);
    const broken = new Error('broken');
    platform.sockets[0]!.fail(broken);
    expect(reports).toEqual([broken]);
    expect(platform.openSockets).toEqual([]);
  });

  it('that fails after it was closed is not reported', async () => {
    const { platform, ask, client, reports } = await create();
    await ask();
    await client.close();
    platform.sockets[0]!.fail(new Error('send ECANCELED'));
    expect(reports).toEqual([]);
  });

  it('that a user closed fails the next request, and the one after gets another socket', async () => {
    const { platform, ask } = await create();
    await ask();
    await answer(platform.sockets[0]!);
    await platform.sockets[0]!.close();
    expect((await ask()).error).toMatchObject({ code: 'BEN_SOCKET', message: expect.stringContaining('Not running') });
    expect(platform.pendingTimers).toBe(0);
    const third = await ask();
    await answer(platform.sockets[1]!);
    expect(third.text).toBe('{"data":1}');
  });
});

describe('maxSockets and maxQueue', () => {
  it('limit open sockets and waiting requests, in order of arrival', async () => {
    const { platform, ask, client } = await create({ maxSockets: 2, maxQueue: 3 });
    const results = await Promise.all(Array.from({ length: 6 }, (_, index) => ask({ pattern: `p${index}` })));
    expect(platform.sockets).toHaveLength(2);
    expect(client.stats()).toMatchObject({ running: 2, waiting: 3, requests: 6 });
    expect(results.map(({ error }) => error?.code)).toEqual([...Array(5).fill(undefined), 'BEN_QUEUE_FULL']);
    expect(results[5]!.error).toMatchObject({ pattern: 'p5', step: 'waiting', attempts: 0, elapsedMs: 0 });
    await answer(platform.sockets[1]!);
    expect(results.map(({ isSettled }) => isSettled)).toEqual([false, true, false, false, false, true]);
    await answer(platform.sockets[1]!);
    expect(results.map(({ isSettled }) => isSettled)).toEqual([false, true, true, false, false, true]);
    expect((await ask()).error).toBeUndefined();
    expect(client.stats()).toMatchObject({ running: 2, waiting: 2 });
  });

  it('of 0 accept as many requests as sockets, also while these are being bound', async () => {
    const { client, ask } = await create({ maxSockets: 2, maxQueue: 0 });
    const results = await Promise.all([ask(), ask(), ask()]);
    expect(results.map(({ error }) => error?.code)).toEqual([undefined, undefined, 'BEN_QUEUE_FULL']);
    expect(client.stats()).toMatchObject({ running: 2, waiting: 0, sockets: 2 });
  });

  it('open no more sockets than needed', async () => {
    const { platform, ask } = await create({ maxSockets: 8 });
    await Promise.all([ask(), ask(), ask()]);
    expect(platform.sockets).toHaveLength(3);
  });

  it('do not open a socket if one is free', async () => {
    const { platform, ask } = await create();
    for (let round = 0; round < 5; round++) {
      await ask();
      await answer(platform.sockets[0]!);
    }
    expect(platform.bound).toHaveLength(1);
  });

  it('fail all waiting requests if no socket can be bound, and the next request tries again', async () => {
    const { platform, ask } = await create({ maxSockets: 2 });
    platform.bindError = Object.assign(new Error('bind EADDRINUSE'), { code: 'EADDRINUSE' });
    const results = await Promise.all([ask(), ask(), ask()]);
    for (const { error } of results) {
      expect(error).toMatchObject({ code: 'BEN_SOCKET', step: 'waiting', attempts: 0, cause: platform.bindError });
    }
    platform.bindError = undefined;
    const next = await ask();
    await answer(platform.sockets[0]!);
    expect(next.text).toBe('{"data":1}');
  });

  it('let requests wait for another socket if one cannot be bound', async () => {
    const { platform, ask } = await create({ maxSockets: 2 });
    const first = await ask();
    platform.bindError = new Error('bind EMFILE');
    const second = await ask();
    expect(second.isSettled).toBe(false);
    await answer(platform.sockets[0]!);
    await answer(platform.sockets[0]!);
    expect([first.text, second.text]).toEqual(['{"data":1}', '{"data":1}']);
  });
});

describe('retries', () => {
  it('repeat the whole exchange from another socket before the request is sent', async () => {
    const { platform, ask, client } = await create();
    const result = await ask({ retries: 2 });
    await platform.advance(1000);
    expect(platform.sockets[1]!.sent.map(String)).toEqual(['/GETID']);
    await platform.sockets[1]!.receive(server.pair().slice(0, 1));
    await platform.advance(1000);
    expect(result.isSettled).toBe(false);
    await answer(platform.sockets[2]!);
    expect(result.text).toBe('{"data":1}');
    expect(client.stats()).toMatchObject({ retries: 2, requests: 1, outcomes: { answered: 1, failed: 0 } });
  });

  it('end with an error that counts the attempts', async () => {
    const { platform, ask } = await create();
    const result = await ask({ retries: 2 });
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(result.isSettled).toBe(false);
      await platform.advance(1000);
    }
    expect(result.error).toMatchObject({ code: 'BEN_TIMEOUT', attempts: 3, elapsedMs: 3000 });
    expect(platform.bound).toHaveLength(3);
  });

  it.each([
    [0, 'BEN_TIMEOUT', 'request'],
    [1, 'BEN_TIMEOUT', 'reply'],
    [3, 'BEN_BAD_REPLY', 'reply'],
  ] as const)(
    'do not repeat a sent request, because its handler may have run: after %i datagrams of a bad reply',
    async (count, code, step) => {
      const { platform, ask } = await create();
      const result = await ask({ retries: 5 });
      const badReply = new ScriptedServer(KEY, '99').reply('{"data":1}').slice(0, count);
      await platform.sockets[0]!.receive([...server.pair(), ...badReply]);
      await platform.advance(1000);
      expect(result.error).toMatchObject({ code, step, attempts: 1 });
      expect(platform.bound).toHaveLength(1);
    },
  );

  it('repeat a sent request if it is idempotent, also after a bad reply, under a new id', async () => {
    const { platform, ask } = await create();
    const result = await ask({ retries: 2, idempotent: true });
    const [first] = platform.sockets;
    await first!.receive(server.pair());
    await platform.advance(1000);
    const second = platform.sockets[1]!;
    const other = new ScriptedServer(KEY, '123456');
    await second.receive([...other.pair(), ...server.reply('{"data":1}')]);
    expect(server.open(first!.sent[1]!)).toBe(TEXT);
    expect(other.open(second.sent[1]!)).toBe(TEXT);
    await platform.advance(1000);
    await answer(platform.sockets[2]!);
    expect(result.text).toBe('{"data":1}');
  });

  it('go before waiting requests', async () => {
    const { platform, ask } = await create({ maxSockets: 1 });
    const first = await ask({ retries: 1 });
    const second = await ask();
    await platform.advance(1000);
    await answer(platform.sockets[1]!);
    expect([first.isSettled, second.isSettled]).toEqual([true, false]);
  });

  it('never send an event twice', async () => {
    const { platform, ask } = await create();
    const result = await ask({ noreturn: true, retries: 5, idempotent: true });
    await platform.sockets[0]!.receive(server.pair());
    await platform.advance(10_000);
    expect(result).toEqual({ text: undefined, isSettled: true });
    expect(platform.bound).toHaveLength(1);
  });
});

describe('a refusal', () => {
  const refusal = () => Object.assign(new Error('recvmsg ECONNREFUSED'), { code: 'ECONNREFUSED' });

  it.each(['ECONNREFUSED', 'ECONNRESET'])('of the system (%s) fails the request at once', async (code) => {
    const { platform, ask, client } = await create();
    const result = await ask();
    const error = Object.assign(new Error('recvmsg'), { code });
    platform.sockets[0]!.fail(error);
    await settle();
    expect(result.error).toMatchObject({ code: 'BEN_REFUSED', step: 'hello', attempts: 1, elapsedMs: 0, cause: error });
    expect(client.stats()).toMatchObject({ outcomes: { failed: 1 }, waiting: 0, running: 0 });
  });

  it('is retried after a wait that doubles, up to the timeout', async () => {
    const { platform, ask, client } = await create();
    const result = await ask({ retries: 3, timeout: 350 });
    for (const [attempt, wait] of [REFUSED_DELAY_MS, 2 * REFUSED_DELAY_MS, 350].entries()) {
      platform.sockets[attempt]!.fail(refusal());
      await settle();
      expect(client.stats()).toMatchObject({ waiting: 1, running: 0 });
      await platform.advance(wait - 1);
      expect(platform.sockets).toHaveLength(attempt + 1);
      await platform.advance(1);
      expect(platform.sockets).toHaveLength(attempt + 2);
    }
    await answer(platform.sockets[3]!);
    expect(result.text).toBe('{"data":1}');
    expect(client.stats()).toMatchObject({ retries: 3, outcomes: { answered: 1 } });
  });

  it('after the request was sent is retried only if the request is idempotent', async () => {
    for (const idempotent of [false, true]) {
      const { platform, ask } = await create();
      const result = await ask({ retries: 1, idempotent });
      await platform.sockets[0]!.receive(server.pair());
      platform.sockets[0]!.fail(refusal());
      await platform.advance(REFUSED_DELAY_MS);
      expect(platform.sockets).toHaveLength(idempotent ? 2 : 1);
      expect(result.error?.step).toBe(idempotent ? undefined : 'request');
    }
  });

  it('does not hold a fixed port, because no late datagram follows', async () => {
    const { platform, ask } = await create({ localPort: 8585, maxSockets: 1 });
    await ask();
    platform.sockets[0]!.fail(refusal());
    const second = await ask();
    await platform.advance(0);
    await answer(platform.sockets[0]!);
    expect(second.text).toBe('{"data":1}');
  });

  it('leaves no timer when the request is cancelled or the client is closed before the retry', async () => {
    const { platform, ask, client } = await create();
    const abort = new AbortController();
    const cancelled = await ask({ retries: 1 }, abort.signal);
    const closed = await ask({ retries: 1 });
    platform.sockets.forEach((socket) => socket.fail(refusal()));
    await settle();
    abort.abort(new Error('cancelled'));
    await settle();
    expect(cancelled.error).toMatchObject({ message: 'cancelled' });
    expect(platform.pendingTimers).toBe(1);
    await client.close();
    expect(closed.error).toMatchObject({ code: 'BEN_CLOSED', attempts: 1 });
    expect(platform.pendingTimers).toBe(0);
    expect(client.stats()).toMatchObject({ waiting: 0, outcomes: { cancelled: 1, failed: 1 } });
  });
});

describe('an abort signal', () => {
  it('takes a request from the queue', async () => {
    const { platform, ask, client } = await create({ maxSockets: 1 });
    await ask();
    const abort = new AbortController();
    const waiting = await ask({}, abort.signal);
    const last = await ask();
    abort.abort(new Error('lost interest'));
    await settle();
    expect(waiting.error).toMatchObject({ message: 'lost interest' });
    expect(client.stats()).toMatchObject({ waiting: 1, running: 1, outcomes: { cancelled: 1 } });
    await answer(platform.sockets[0]!);
    await answer(platform.sockets[0]!);
    expect(last.text).toBe('{"data":1}');
  });

  it('cuts an exchange off, closes its socket and frees its place', async () => {
    const { platform, ask, client } = await create({ maxSockets: 1 });
    const abort = new AbortController();
    await ask({}, abort.signal);
    const waiting = await ask();
    abort.abort();
    await settle();
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(client.stats()).toMatchObject({ running: 1, waiting: 0, sockets: 1 });
    await answer(platform.sockets[1]!);
    expect(waiting.text).toBe('{"data":1}');
    expect(platform.pendingTimers).toBe(1);
  });

  it('that is aborted before sends nothing, and one aborted after the end changes nothing', async () => {
    const { platform, ask, client } = await create();
    const abort = new AbortController();
    abort.abort();
    expect((await ask({}, abort.signal)).error).toMatchObject({ name: 'AbortError' });
    expect(platform.bound).toEqual([]);
    const late = new AbortController();
    const result = await ask({}, late.signal);
    await answer(platform.sockets[0]!);
    late.abort();
    await settle();
    expect(result.text).toBe('{"data":1}');
    expect(platform.openSockets).toHaveLength(1);
    expect(client.stats().outcomes).toEqual({ answered: 1, cancelled: 1, failed: 0, sent: 0 });
  });

  it('while a socket is being bound leaves it to the next request', async () => {
    const { platform, client } = await create();
    const abort = new AbortController();
    const input = { text: TEXT, noreturn: false, pattern: 'p', timeout: 1000, retries: 0, idempotent: false };
    const asked = client.request(input, abort.signal);
    abort.abort(new Error('lost interest'));
    await expect(asked).rejects.toThrow('lost interest');
    await settle();
    expect(client.stats()).toMatchObject({ running: 0, waiting: 0, sockets: 1 });
    expect(platform.openSockets[0]!.isReferenced).toBe(false);
    expect(platform.openSockets[0]!.sent).toEqual([]);
  });
});

describe('the listener on an abort signal', () => {
  const { signal } = new AbortController();
  const listeners = () => getEventListeners(signal, 'abort').length;

  it.each<[string, (setup: Setup) => Promise<void>]>([
    ['was answered', ({ platform }) => answer(platform.sockets[0]!)],
    ['failed', ({ platform }) => platform.advance(1000)],
    ['was cut off by close', ({ client }) => client.close()],
  ])('is removed when the request %s, so a signal of many requests does not collect them', async (_title, end) => {
    const setup = await create();
    const result = await setup.ask({}, signal);
    expect(listeners()).toBe(1);
    await end(setup);
    await settle();
    expect(result.isSettled).toBe(true);
    expect(listeners()).toBe(0);
  });

  it('is not added for a rejected request', async () => {
    const { ask, client } = await create();
    await client.close();
    expect((await ask({}, signal)).error).toMatchObject({ code: 'BEN_CLOSED' });
    expect(listeners()).toBe(0);
  });
});

describe('a fixed localPort', () => {
  const serial = { localPort: 8585, maxSockets: 1 };

  it('binds the only socket; requests run one after the other', async () => {
    const { platform, ask } = await create(serial);
    const [first, second] = await Promise.all([ask(), ask()]);
    expect(platform.bound).toEqual([{ host: '0.0.0.0', port: 8585, receiveBufferSize: undefined }]);
    const [socket] = platform.sockets;
    expect(socket!.sent.map(String)).toEqual(['/GETID']);
    await answer(socket!);
    expect([first!.isSettled, second!.isSettled]).toEqual([true, false]);
    await answer(socket!);
    expect(second!.text).toBe('{"data":1}');
  });

  it('rests after a failed exchange, so the next one does not accept its late datagrams', async () => {
    const { platform, ask, client } = await create(serial);
    const first = await ask();
    const [socket] = platform.sockets;
    await socket!.receive(server.pair());
    await platform.advance(1000);
    expect(first.error).toMatchObject({ code: 'BEN_TIMEOUT' });
    const second = await ask();
    expect(socket!.sent).toHaveLength(2);
    // Hash and IV of the late reply have the sizes of an id and its IV.
    const [hash, iv] = server.reply('{"data":"late"}');
    await platform.advance(500);
    await socket!.receive([hash, iv]);
    await platform.advance(499);
    expect(socket!.sent).toHaveLength(2);
    await platform.advance(1);
    expect(socket!.sent).toHaveLength(3);
    await answer(socket!, '{"data":2}');
    expect(second.text).toBe('{"data":2}');
    expect(client.stats().ignored.unasked).toBe(2);
    expect(platform.sockets).toHaveLength(1);
  });

  it('rests no longer than until the late reply is complete', async () => {
    const { platform, ask } = await create(serial);
    await ask();
    const [socket] = platform.sockets;
    await socket!.receive(server.pair());
    await platform.advance(1000);
    const second = await ask();
    await socket!.receive(server.reply('{"data":"late"}'));
    expect(socket!.sent).toHaveLength(3);
    await answer(socket!, '{"data":2}');
    expect(second.text).toBe('{"data":2}');
  });

  it('leaves no timer of a rest that ended early', async () => {
    const { platform, ask } = await create(serial);
    await ask();
    const [socket] = platform.sockets;
    await socket!.receive(server.pair());
    await platform.advance(1000);
    await socket!.receive(server.reply('{"data":"late"}'));
    // That of idleTimeout.
    expect(platform.pendingTimers).toBe(1);
  });

  it('keeps the process alive during a rest only if a request waits', async () => {
    const { platform, ask } = await create(serial);
    await ask();
    const [socket] = platform.sockets;
    await platform.advance(1000);
    expect(socket!.isReferenced).toBe(false);
    const abort = new AbortController();
    await ask({}, abort.signal);
    expect(socket!.isReferenced).toBe(true);
    abort.abort();
    expect(socket!.isReferenced).toBe(false);
  });

  it('lets a cancelled exchange run to its end, because the upstream server would end without its request', async () => {
    const { platform, ask, client } = await create(serial);
    const abort = new AbortController();
    const first = await ask({}, abort.signal);
    const second = await ask();
    abort.abort();
    await settle();
    expect(first.isSettled).toBe(true);
    const [socket] = platform.sockets;
    expect(client.stats()).toMatchObject({ running: 0, waiting: 1 });
    await answer(socket!);
    expect(socket!.sent).toHaveLength(3);
    await answer(socket!);
    expect(second.text).toBe('{"data":1}');
    expect(client.stats().outcomes).toEqual({ answered: 1, cancelled: 1, failed: 0, sent: 0 });
  });

  it('does not retry a cancelled request', async () => {
    const { platform, ask } = await create(serial);
    const abort = new AbortController();
    await ask({ retries: 5 }, abort.signal);
    abort.abort();
    await platform.advance(1000);
    await platform.advance(1000);
    expect(platform.sockets[0]!.sent).toHaveLength(1);
  });
});

describe('close on a fixed localPort', () => {
  const serial = { localPort: 8585, maxSockets: 1 };

  it.each([0, 1])('after %i datagrams waits until the request was sent, and no longer', async (count) => {
    const { platform, ask, client } = await create(serial);
    const [running, waiting] = [await ask(), await ask()];
    const [socket] = platform.sockets;
    const pair = server.pair();
    await socket!.receive(pair.slice(0, count));
    const closing = client.close();
    await settle();
    expect([running.isSettled, waiting.error?.code]).toEqual([false, 'BEN_CLOSED']);
    await socket!.receive(pair.slice(count));
    await closing;
    expect(server.open(socket!.sent[1]!)).toBe(TEXT);
    expect(running.error).toMatchObject({ code: 'BEN_CLOSED', step: 'request' });
    expect(socket!.isClosed).toBe(true);
    expect(platform.pendingTimers).toBe(0);
    expect(client.stats()).toMatchObject({ outcomes: { failed: 2 }, running: 0 });
  });

  it('sends an event first', async () => {
    const { platform, ask, client } = await create(serial);
    const result = await ask({ noreturn: true });
    const closing = client.close();
    await platform.sockets[0]!.receive(server.pair());
    await closing;
    expect(result).toEqual({ text: undefined, isSettled: true });
  });

  it('waits for a cancelled exchange, too', async () => {
    const { platform, ask, client } = await create(serial);
    const abort = new AbortController();
    await ask({}, abort.signal);
    abort.abort();
    const closing = client.close();
    await platform.sockets[0]!.receive(server.pair());
    await closing;
    expect(server.open(platform.sockets[0]!.sent[1]!)).toBe(TEXT);
  });

  it('waits no longer than the timeout, and does not retry', async () => {
    const { platform, ask, client } = await create(serial);
    const result = await ask({ retries: 5 });
    const closing = client.close();
    await platform.advance(1000);
    await closing;
    expect(result.error).toMatchObject({ code: 'BEN_TIMEOUT', step: 'hello', attempts: 1 });
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([true]);
    expect(platform.pendingTimers).toBe(0);
  });

  it('does not wait for the reply to a request that was sent', async () => {
    const { platform, ask, client } = await create(serial);
    const result = await ask();
    await platform.sockets[0]!.receive(server.pair());
    await client.close();
    expect(result.error).toMatchObject({ code: 'BEN_CLOSED', step: 'request' });
    expect(platform.pendingTimers).toBe(0);
  });
});

describe('close', () => {
  it('fails all requests, closes the sockets, and returns the same promise each time', async () => {
    const { platform, ask, client } = await create({ maxSockets: 1 });
    const results = await Promise.all([ask(), ask()]);
    await platform.sockets[0]!.receive(server.pair());
    const closing = client.close();
    expect(client.close()).toBe(closing);
    await closing;
    expect(results.map(({ error }) => [error?.code, error?.step, error?.attempts])).toEqual([
      ['BEN_CLOSED', 'request', 1],
      ['BEN_CLOSED', 'waiting', 0],
    ]);
    expect(platform.openSockets).toEqual([]);
    expect(platform.pendingTimers).toBe(0);
    expect(client.stats()).toMatchObject({ running: 0, waiting: 0, sockets: 0, outcomes: { failed: 2 } });
  });

  it('fails later requests', async () => {
    const { platform, ask, client } = await create();
    await client.close();
    expect((await ask()).error).toMatchObject({ code: 'BEN_CLOSED', attempts: 0 });
    expect(platform.bound).toEqual([]);
  });

  it('closes a socket that is being bound', async () => {
    const { platform, client } = await create();
    const input = { text: TEXT, noreturn: false, pattern: 'p', timeout: 1000, retries: 0, idempotent: false };
    const asked = client.request(input);
    const closing = client.close();
    await expect(asked).rejects.toMatchObject({ code: 'BEN_CLOSED' });
    await closing;
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([true]);
    expect(platform.pendingTimers).toBe(0);
    expect(client.stats().sockets).toBe(0);
  });

  it('leaves no timer of an idle or resting socket', async () => {
    const idle = await create();
    await idle.ask();
    await answer(idle.platform.sockets[0]!);
    expect(idle.platform.pendingTimers).toBe(1);
    await idle.client.close();
    expect(idle.platform.pendingTimers).toBe(0);
    const resting = await create({ localPort: 8585, maxSockets: 1 });
    await resting.ask();
    await resting.platform.advance(1000);
    expect(resting.platform.pendingTimers).toBe(1);
    await resting.client.close();
    expect(resting.platform.pendingTimers).toBe(0);
  });
});

describe('an error', () => {
  it('quotes and cuts the pattern in its message, and contains nothing of the request', async () => {
    const { platform, ask } = await create();
    const pattern = `a\nb${'x'.repeat(500)}`;
    const result = await ask({ pattern, text: "{'action': 'a', 'data': 'secret'}" });
    await platform.advance(1000);
    const { message } = result.error!;
    expect(message).toContain('"a\\nbxxx');
    expect(message.length).toBeLessThan(250);
    expect(message).not.toContain('secret');
    expect(result.error!.pattern).toBe(pattern);
  });
});

describe('a server whose name gets another address', () => {
  const moved = { address: '10.0.0.2', port: SERVER.port };
  const movedToSix = { address: '2001:db8::2', port: SERVER.port };
  const at = ({ address, port }: typeof moved) => `${address}:${port}`;

  async function createNamed(options: Partial<RequestClientOptions> = {}) {
    const setup = await create({ host: 'ben.test', ...options }, undefined, new Map([['ben.test', SERVER.address]]));
    const { platform } = setup;
    return {
      ...setup,
      move: (to = moved) => platform.names.set('ben.test', to.address),
      /** Lookups since `connect`. */
      lookups: () => platform.lookups - 1,
      /** Lets lookups take their time. */
      hang: () => {
        let tell!: (to: typeof moved) => Promise<void>;
        platform.names.set(
          'ben.test',
          new Promise((resolve) => {
            tell = async ({ address }) => {
              resolve(address);
              await settle();
            };
          }),
        );
        return tell;
      },
      /** The last socket, and the address of its last datagram. */
      last: () => ({ socket: platform.sockets.at(-1)!, to: platform.sockets.at(-1)?.sentTo.at(-1) }),
    };
  }

  async function answerFrom(remote: typeof moved, socket: ScriptedSocket): Promise<void> {
    await socket.receive([...server.pair(), ...server.reply('{"data":1}')], remote);
  }

  it('is asked at the new one by the retry of a request that timed out', async () => {
    const { ask, platform, move, last } = await createNamed();
    const result = await ask({ retries: 1 });
    move();
    await platform.advance(1000);
    expect(last().to).toBe(at(moved));
    await answerFrom(moved, last().socket);
    expect(result).toMatchObject({ text: '{"data":1}' });
  });

  it('is asked at the new one by the next request after one that timed out', async () => {
    const { ask, platform, move, last, lookups } = await createNamed();
    await ask();
    move();
    await platform.advance(1000);
    expect(lookups()).toBe(0);
    const result = await ask();
    expect(last().to).toBe(at(moved));
    await answerFrom(moved, last().socket);
    expect(result.text).toBe('{"data":1}');
    await ask();
    expect(lookups()).toBe(1);
  });

  it.each<[string, (socket: ScriptedSocket) => Promise<void> | void]>([
    ['the system refuses to send to', (socket) => socket.fail(new Error('send EHOSTUNREACH'))],
    [
      'somebody else answers at',
      (socket) =>
        socket.receive([...server.pair(), ...Array.from({ length: 8 }, (_, index) => Buffer.alloc(16, index))]),
    ],
  ])('is looked up again if %s the known address', async (_title, fail) => {
    const { ask, move, last } = await createNamed();
    const result = await ask();
    move();
    await fail(last().socket);
    await settle();
    expect(result.error).toBeDefined();
    await ask();
    expect(last().to).toBe(at(moved));
  });

  it('is asked at the new one once the known address is old, and is not looked up while nothing is asked', async () => {
    const { ask, platform, move, lookups, last } = await createNamed();
    move();
    await platform.advance(10 * MAX_ADDRESS_AGE_MS);
    expect(lookups()).toBe(0);
    await ask();
    expect(lookups()).toBe(1);
    expect(last().to).toBe(at(moved));
  });

  it('is looked up once for many requests at once', async () => {
    const { ask, platform, lookups, client } = await createNamed();
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    await Promise.all([ask(), ask(), ask()]);
    expect(lookups()).toBe(1);
    expect(client.stats()).toMatchObject({ running: 2, waiting: 1 });
  });

  it('is looked up once for many requests that timed out together', async () => {
    const { ask, platform, lookups } = await createNamed({ maxSockets: 3 });
    await Promise.all([ask({ retries: 1 }), ask({ retries: 1 }), ask({ timeout: 1100 })]);
    await platform.advance(1000);
    expect(lookups()).toBe(1);
    // This one began before the lookup, so its failure says nothing about the address that was found.
    await platform.advance(100);
    await ask();
    expect(lookups()).toBe(1);
  });

  it('is not looked up for each exchange', async () => {
    const { ask, platform, lookups } = await createNamed();
    for (let exchange = 0; exchange < 3; exchange++) {
      const result = await ask();
      await answer(platform.openSockets.at(-1)!);
      expect(result.text).toBe('{"data":1}');
    }
    expect(lookups()).toBe(0);
  });

  it('is looked up in the family of localAddress', async () => {
    const { ask, platform } = await createNamed({ localAddress: '10.0.0.9' });
    const resolveHost = vi.spyOn(platform, 'resolveHost');
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    await ask();
    expect(resolveHost.mock.calls).toEqual([['ben.test', 4]]);
    expect(platform.bound.at(-1)!.host).toBe('10.0.0.9');
  });

  it('is still heard at the old address by an exchange that began there', async () => {
    const { ask, platform, move, last } = await createNamed({ maxSockets: 2 });
    const first = await ask({ timeout: 2 * MAX_ADDRESS_AGE_MS });
    const { socket } = last();
    move();
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    await ask();
    expect(last().to).toBe(at(moved));
    await answerFrom(SERVER, socket);
    expect(socket.sentTo).toEqual([at(SERVER), at(SERVER)]);
    expect(first.text).toBe('{"data":1}');
  });

  it('is reached from open sockets, which ignore datagrams of the old address', async () => {
    const { ask, platform, move, reports, last } = await createNamed({ idleTimeout: 2 * MAX_ADDRESS_AGE_MS });
    await ask();
    const { socket } = last();
    await answerFrom(SERVER, socket);
    move();
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    await socket.receive(server.pair(), SERVER);
    const result = await ask();
    await socket.receive([...server.pair(), ...server.reply('{"data":"old"}')], SERVER);
    await answerFrom(moved, socket);
    expect(result.text).toBe('{"data":1}');
    expect(platform.sockets).toHaveLength(1);
    expect(reports).toEqual([
      ...Array.from({ length: 2 }, () => ['unasked', SERVER.port]),
      ...Array.from({ length: 5 }, () => ['other-sender', SERVER.port]),
    ]);
  });

  it('is reached from sockets of its family; one in use is closed after its exchange', async () => {
    const { ask, platform, move, last } = await createNamed({ idleTimeout: 2 * MAX_ADDRESS_AGE_MS });
    const [busy, done] = [await ask({ timeout: 2 * MAX_ADDRESS_AGE_MS }), await ask()];
    await answerFrom(SERVER, last().socket);
    expect(done.isSettled).toBe(true);
    move(movedToSix);
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    const six = await ask();
    expect(platform.bound.map(({ host }) => host)).toEqual(['0.0.0.0', '0.0.0.0', '::']);
    expect(platform.sockets.map(({ isClosed }) => isClosed)).toEqual([false, true, false]);
    const next = await ask();
    await answerFrom(SERVER, platform.sockets[0]!);
    expect(busy.text).toBe('{"data":1}');
    expect(platform.sockets[0]!.isClosed).toBe(true);
    await answerFrom(movedToSix, platform.sockets[2]!);
    expect(six.text).toBe('{"data":1}');
    await answerFrom(movedToSix, last().socket);
    expect(next.text).toBe('{"data":1}');
  });

  it('is asked from a fixed port in either family', async () => {
    const { ask, platform, move, last } = await createNamed({
      localPort: 8585,
      maxSockets: 1,
      idleTimeout: 86_400_000,
    });
    await ask();
    await answerFrom(SERVER, last().socket);
    move();
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    await ask();
    await answerFrom(moved, last().socket);
    expect(platform.sockets).toHaveLength(1);
    move(movedToSix);
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    const result = await ask();
    await answerFrom(movedToSix, last().socket);
    expect(result.text).toBe('{"data":1}');
    expect(platform.bound.map(({ host, port }) => [host, port])).toEqual([
      ['0.0.0.0', 8585],
      ['::', 8585],
    ]);
    expect(platform.openSockets).toHaveLength(1);
  });

  it('is asked though a socket of the old family could not be bound meanwhile', async () => {
    const { ask, platform, move, hang, last } = await createNamed();
    const tell = hang();
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    const result = await ask({ timeout: 50 });
    platform.bindError = new Error('bind EADDRNOTAVAIL');
    platform.advance(50).catch(() => undefined);
    const binding = tell(movedToSix);
    await new Promise((resolve) => setImmediate(resolve));
    platform.bindError = undefined;
    move(movedToSix);
    await binding;
    expect(result.error).toBeUndefined();
    expect(platform.bound.map(({ host }) => host)).toEqual(['0.0.0.0', '::']);
    await answerFrom(movedToSix, last().socket);
    expect(result.text).toBe('{"data":1}');
  });

  it('is looked up again after no socket could be bound, so that another family is tried', async () => {
    const { ask, platform, move, last } = await createNamed();
    move(movedToSix);
    await platform.advance(MAX_ADDRESS_AGE_MS + 1);
    platform.bindError = new Error('bind EAFNOSUPPORT');
    expect((await ask()).error).toMatchObject({ code: 'BEN_SOCKET' });
    platform.bindError = undefined;
    move();
    await ask();
    expect(last().to).toBe(at(moved));
  });

  it('goes on at the known address if the name is not known any more, with one report', async () => {
    const { ask, platform, reports, last } = await createNamed();
    platform.names.clear();
    for (let exchange = 0; exchange < 3; exchange++) {
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      await ask();
      expect(last().to).toBe(at(SERVER));
    }
    expect(reports).toEqual([expect.objectContaining({ code: 'BEN_HOST_UNKNOWN' })]);
  });

  describe('while the name server does not answer', () => {
    it('is asked at the known address once a request was held for its timeout', async () => {
      const { ask, platform, hang, last } = await createNamed();
      hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      const patient = await ask({ timeout: 5000 });
      const result = await ask({ timeout: 50 });
      await platform.advance(49);
      expect(platform.bound).toEqual([]);
      await platform.advance(1);
      // In their order: the one that could wait longer does not hold the other.
      expect(platform.sockets.map(({ sentTo }) => sentTo)).toEqual([[at(SERVER)], [at(SERVER)]]);
      await answerFrom(SERVER, last().socket);
      expect([patient.isSettled, result.text]).toEqual([false, '{"data":1}']);
    });

    it('holds a request with a long timeout for a second', async () => {
      const { ask, platform, hang, last } = await createNamed();
      hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      await ask({ timeout: 5000 });
      await platform.advance(LOOKUP_PATIENCE_MS - 1);
      expect(platform.bound).toEqual([]);
      await platform.advance(1);
      expect(last().to).toBe(at(SERVER));
    });

    it('counts requests that wait for a socket, too', async () => {
      const { ask, platform, hang } = await createNamed({ maxSockets: 1 });
      await ask({ timeout: 2 * MAX_ADDRESS_AGE_MS });
      await ask({ timeout: 50 });
      await ask({ timeout: 5000 });
      hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      await answerFrom(SERVER, platform.sockets[0]!);
      expect(platform.sockets[0]!.sent).toHaveLength(2);
      await platform.advance(50);
      expect(platform.sockets[0]!.sent).toHaveLength(3);
    });

    it('holds no later request, and is not asked a second time', async () => {
      const { ask, platform, hang, lookups } = await createNamed({ maxSockets: 1 });
      hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      await ask({ timeout: 50 });
      await platform.advance(50);
      for (let request = 1; request <= 3; request++) {
        expect(platform.sockets).toHaveLength(request);
        // Fails, so the address is in doubt once more.
        await platform.advance(50);
        await ask({ timeout: 50 });
      }
      expect(lookups()).toBe(1);
    });

    it('is replaced by its late answer, also in another family', async () => {
      const { ask, platform, hang, last } = await createNamed({ idleTimeout: 86_400_000 });
      const tell = hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      const first = await ask({ timeout: 50 });
      await platform.advance(50);
      await answerFrom(SERVER, last().socket);
      expect(first.isSettled).toBe(true);
      await tell(movedToSix);
      const second = await ask();
      expect(platform.bound.map(({ host }) => host)).toEqual(['0.0.0.0', '::']);
      await answerFrom(movedToSix, last().socket);
      expect(second.text).toBe('{"data":1}');
    });

    it('counts waiting requests exactly, and lets them be cancelled', async () => {
      const { ask, platform, hang, client } = await createNamed({ maxSockets: 1, maxQueue: 2 });
      const tell = hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      const abort = new AbortController();
      const results = [await ask(), await ask({}, abort.signal), await ask(), await ask()];
      expect(results.map(({ error }) => error?.code)).toEqual([undefined, undefined, undefined, 'BEN_QUEUE_FULL']);
      abort.abort();
      await settle();
      expect(client.stats()).toMatchObject({ waiting: 2, running: 0, sockets: 0, outcomes: { cancelled: 1 } });
      await tell(moved);
      expect(client.stats()).toMatchObject({ waiting: 1, running: 1 });
    });

    it('is forgotten by close, which leaves no timer and no report', async () => {
      const { ask, platform, hang, client, reports } = await createNamed();
      const tell = hang();
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      const result = await ask();
      await client.close();
      expect(result.error).toMatchObject({ code: 'BEN_CLOSED', step: 'waiting' });
      expect(platform.pendingTimers).toBe(0);
      await tell(moved);
      expect([platform.bound, reports]).toEqual([[], []]);
    });
  });
});

describe('cancelling', () => {
  it('many requests that wait takes time in proportion to their number', { timeout: 120_000 }, async () => {
    const cancelMany = async (count: number): Promise<number> => {
      const { client } = await create({ maxQueue: count, maxSockets: 1 });
      const input = { text: TEXT, noreturn: false, pattern: 'p', timeout: 1000, retries: 0, idempotent: false };
      const controllers = Array.from({ length: count }, () => new AbortController());
      const cancelled = Promise.allSettled(controllers.map(({ signal }) => client.request(input, signal)));
      // The middle of the queue first: neither end is a special case.
      const inThisOrder = [...controllers.slice(count / 2), ...controllers.slice(0, count / 2)];
      const took = cpuMs(() => inThisOrder.forEach((controller) => controller.abort()));
      await cancelled;
      expect(client.stats()).toMatchObject({ outcomes: { cancelled: count }, waiting: 0 });
      return took;
    };
    // The same number of requests in ten queues and in one. With quadratic growth, one queue takes ten times as long.
    const inTen = async () => {
      let took = 0;
      for (let queue = 0; queue < 10; queue++) {
        took += await cancelMany(500);
      }
      return took;
    };
    expect(await measureGrowth(inTen, () => cancelMany(5000), 5)).toBeLessThanOrEqual(5);
  });

  it('one keeps the order of the others, and makes room for one', async () => {
    const { platform, ask, client } = await create({ maxSockets: 1, maxQueue: 3 });
    const aborts = Array.from({ length: 4 }, () => new AbortController());
    const texts = ['running', 'a', 'b', 'c'];
    for (const [index, text] of texts.entries()) {
      await ask({ text: `{'action': '${text}'}` }, aborts[index]!.signal);
    }
    expect((await ask()).error).toMatchObject({ code: 'BEN_QUEUE_FULL' });
    aborts[2]!.abort();
    await ask({ text: "{'action': 'd'}" });
    expect((await ask()).error).toMatchObject({ code: 'BEN_QUEUE_FULL' });
    expect(client.stats()).toMatchObject({ waiting: 3, running: 1 });
    const sent: unknown[] = [];
    for (let request = 0; request < 4; request++) {
      const socket = platform.openSockets[0]!;
      await answer(socket);
      sent.push(server.open(socket.sent[2 * request + 1]!));
    }
    expect(sent).toEqual(['running', 'a', 'c', 'd'].map((text) => `{'action': '${text}'}`));
  });
});
