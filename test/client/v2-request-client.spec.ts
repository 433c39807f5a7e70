/** The client of protocol v2 on a simulated machine: sessions, queue, retransmission and retries. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type ClientRequest,
  type RequestClientOptions,
  V2RequestClient,
  V2_REFUSED_DELAY_MS,
} from '../../lib/client/index.js';
import { REFUSED_DELAY_MS } from '../../lib/client/request-failure.js';
import { MAX_ADDRESS_AGE_MS } from '../../lib/client/server-address.js';
import type { BenUdpRequestError } from '../../lib/errors.js';
import { KEY, remoteOf } from '../support/pure-device.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';
import { V2AnsweringServer } from '../support/v2-server.js';

const SERVER = { address: '127.0.0.1', port: 8585, family: 'IPv4' } as const;
const TYPES = ['', 'OPEN', 'GRANT', 'REQ1', 'REQ', 'REP', 'AGAIN'];

interface Result {
  text?: string | undefined;
  error?: BenUdpRequestError;
  isSettled: boolean;
}

async function create(options: Partial<RequestClientOptions> = {}) {
  const platform = new ScriptedPlatform();
  platform.names.set('ben.test', SERVER.address);
  const executed: string[] = [];
  const state = {
    answer: '{"data":1}',
    server: undefined as unknown as V2AnsweringServer,
    /** The datagrams that arrive instead of one from the client. */
    upward: (datagram: Buffer): Buffer[] => [datagram],
    downward: (datagram: Buffer): Buffer[] => [datagram],
  };
  const restart = (startedAt: number) => {
    state.server = new V2AnsweringServer({ startedAt }, (text) => {
      executed.push(text);
      return state.answer;
    });
  };
  restart(platform.now());
  const ignored: string[] = [];
  const client = await V2RequestClient.create(
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
    KEY,
    { onIgnored: (reason) => void ignored.push(reason), onError: (error) => expect.fail(String(error)) },
    platform,
  );
  onTestFinished(() => client.close());
  const ask = (input: Partial<ClientRequest> = {}, signal?: AbortSignal): Result => {
    const result: Result = { isSettled: false };
    const text = "{'action': 'echo'}";
    client
      .request(
        { text, noreturn: false, pattern: 'echo', timeout: 15_000, retries: 0, idempotent: false, ...input },
        signal,
      )
      .then(
        (reply) => Object.assign(result, { text: reply, isSettled: true }),
        (error: unknown) => Object.assign(result, { error, isSettled: true }),
      );
    return result;
  };
  const sent: string[] = [];
  /** Passes datagrams between the client and the server until nothing is sent any more. */
  const exchange = async () => {
    await settle();
    for (let isBusy = true; isBusy;) {
      isBusy = false;
      for (const [index, socket] of platform.sockets.entries()) {
        for (const datagram of socket.sent.splice(0)) {
          isBusy = true;
          sent.push(TYPES[datagram[1]!]!);
          for (const arrived of state.upward(datagram)) {
            const { datagram: reply } = state.server.receive(
              arrived,
              remoteOf('127.0.0.1', 1000 + index),
              platform.now(),
            );
            if (reply) {
              await socket.receive(state.downward(reply), SERVER);
            }
          }
        }
      }
      await settle();
    }
  };
  return { platform, client, state, restart, ask, exchange, sent, executed, ignored };
}

describe('V2RequestClient', () => {
  it('opens a session for the first request, and uses it for the next', async () => {
    const { ask, exchange, sent, client } = await create();
    const first = ask();
    await exchange();
    const second = ask();
    await exchange();
    expect([first, second]).toMatchObject([{ text: '{"data":1}' }, { text: '{"data":1}' }]);
    expect(sent).toEqual(['OPEN', 'REQ1', 'REQ']);
    expect(client.stats()).toMatchObject({
      requests: 2,
      running: 0,
      waiting: 0,
      sockets: 1,
      outcomes: { answered: 2 },
    });
  });

  it('has a session for each request at once, and queues further ones', async () => {
    const { ask, exchange, client, executed } = await create({ maxSockets: 2, maxQueue: 1 });
    const results = [ask(), ask(), ask(), ask()];
    await settle();
    expect(results[3]!.error).toMatchObject({ code: 'BEN_QUEUE_FULL', step: 'waiting' });
    await exchange();
    expect(results.slice(0, 3).every(({ text }) => text === '{"data":1}')).toBe(true);
    expect([executed.length, client.sockets.length]).toEqual([3, 2]);
  });

  it('keeps its session after the idle socket was closed', async () => {
    const { ask, exchange, platform, sent, client } = await create();
    ask();
    await exchange();
    await platform.advance(30_000);
    expect(client.sockets).toHaveLength(0);
    const later = ask();
    await exchange();
    expect([later.text, sent]).toEqual(['{"data":1}', ['OPEN', 'REQ1', 'REQ']]);
  });

  it('sends the same datagram again, and the handler runs once', async () => {
    const { ask, exchange, platform, state, executed, sent } = await create();
    ask();
    await exchange();
    let losses = 2;
    state.downward = (datagram) => (losses-- > 0 ? [] : [datagram]);
    const result = ask();
    await exchange();
    for (let wait = 0; wait < 2; wait++) {
      await platform.advance(2600);
      await exchange();
    }
    expect([result.text, executed.length, sent.slice(2)]).toEqual(['{"data":1}', 2, ['REQ', 'REQ', 'REQ']]);
  });

  it.each([
    [1000, { text: '{"data":1}' }, 2, ['REQ', 'OPEN', 'REQ1']],
    [999, { error: { code: 'BEN_TIMEOUT', step: 'request' } }, 1, ['REQ', 'OPEN']],
  ])('goes on after a restart only if it was over a second before: %i ms', async (upMs, outcome, runs, datagrams) => {
    const { ask, exchange, platform, restart, sent, executed } = await create();
    ask();
    await exchange();
    await platform.advance(5000);
    restart(platform.now() - upMs);
    const result = ask();
    await exchange();
    expect(result).toMatchObject(outcome);
    expect([executed.length, sent.slice(2)]).toEqual([runs, datagrams]);
  });

  it.each([
    ['no answer to the opening', () => [], 'BEN_TIMEOUT', 'hello'],
    ['no answer to the request', (datagram: Buffer) => (datagram[1] === 1 ? [datagram] : []), 'BEN_TIMEOUT', 'request'],
  ])('fails after its timeout with %s', async (_name, upward, code, step) => {
    const { ask, exchange, platform, state } = await create();
    state.upward = upward;
    const result = ask({ timeout: 1500 });
    for (let wait = 0; wait < 6; wait++) {
      await exchange();
      await platform.advance(510);
    }
    expect(result.error).toMatchObject({ code, step, attempts: 1 });
  });

  it.each([
    [false, 1],
    [true, 2],
  ])('retries a request that may have run only if it is idempotent: %s', async (idempotent, attempts) => {
    const { ask, exchange, platform, state } = await create();
    state.upward = (datagram) => (datagram[1] === 1 ? [datagram] : []);
    const result = ask({ timeout: 150, retries: 1, idempotent });
    for (let wait = 0; wait < 30 && !result.isSettled; wait++) {
      await exchange();
      await platform.advance(60);
    }
    expect(result.error).toMatchObject({ code: 'BEN_TIMEOUT', attempts });
  });

  it('tries again later if the server refuses, because nothing ran', async () => {
    const { ask, exchange, platform, state, executed } = await create();
    ask();
    await exchange();
    state.upward = (datagram) => {
      state.server.isClosing = datagram[1] !== 1;
      return [datagram];
    };
    const [final, retried] = [ask(), ask({ retries: 1 })];
    await exchange();
    expect(final.error).toMatchObject({ code: 'BEN_REFUSED', step: 'hello' });
    expect(retried.isSettled).toBe(false);
    state.upward = (datagram) => {
      state.server.isClosing = false;
      return [datagram];
    };
    await platform.advance(V2_REFUSED_DELAY_MS);
    await exchange();
    expect([retried.text, executed.length]).toEqual(['{"data":1}', 2]);
  });

  it.each(['ECONNREFUSED', 'ECONNRESET'])('fails at once if no program listens on the port (%s)', async (code) => {
    const { ask, platform, client } = await create();
    const [final, retried] = [ask(), ask({ retries: 1 })];
    await settle();
    const error = Object.assign(new Error('recvmsg'), { code });
    platform.sockets.forEach((socket) => socket.fail(error));
    await settle();
    expect(final.error).toMatchObject({ code: 'BEN_REFUSED', step: 'hello', attempts: 1, elapsedMs: 0, cause: error });
    expect(client.stats()).toMatchObject({ waiting: 1, running: 0 });
    await platform.advance(REFUSED_DELAY_MS);
    expect([retried.isSettled, client.stats().running]).toEqual([false, 1]);
  });

  it('waits on if the port closes after the opening, because a restarted server can prove that nothing ran', async () => {
    const { ask, exchange, platform, state } = await create();
    ask();
    await exchange();
    state.upward = () => [];
    const result = ask();
    await exchange();
    platform.sockets[0]!.fail(Object.assign(new Error('recvmsg'), { code: 'ECONNREFUSED' }));
    await settle();
    expect(result.isSettled).toBe(false);
    state.upward = (datagram) => [datagram];
    await platform.advance(1500);
    await exchange();
    expect(result.text).toBe('{"data":1}');
  });

  it('does not take the word of a restarted server for the time in which this machine was suspended', async () => {
    const { ask, exchange, executed, platform, restart, state } = await create();
    ask();
    await exchange();
    state.downward = () => [];
    const result = ask();
    await exchange();
    expect(executed).toHaveLength(2);
    // Ten minutes, in which the monotonic clock stands still. The server has restarted meanwhile.
    vi.spyOn(platform, 'wallClock').mockReturnValue(platform.wallClock() + 600_000);
    restart(platform.now() - 300_000);
    state.downward = (datagram) => [datagram];
    await platform.advance(1500);
    await exchange();
    expect([executed.length, result.error?.code]).toEqual([2, 'BEN_TIMEOUT']);
  });

  it('takes it if the clock of this machine was set back', async () => {
    const { ask, exchange, executed, platform, restart, state } = await create();
    ask();
    await exchange();
    state.upward = () => [];
    const result = ask();
    await exchange();
    vi.spyOn(platform, 'wallClock').mockReturnValue(platform.wallClock() - 600_000);
    restart(platform.now() - 5000);
    state.upward = (datagram) => [datagram];
    await platform.advance(1500);
    await exchange();
    expect([executed.length, result.text]).toEqual([2, '{"data":1}']);
  });

  it('completes a noreturn request with its acknowledgement', async () => {
    const { ask, exchange, client, state } = await create();
    state.upward = (datagram) => [datagram, datagram];
    const result = ask({ noreturn: true });
    await exchange();
    expect([result.isSettled, result.text, client.stats().outcomes.sent]).toEqual([true, undefined, 1]);
  });

  it('refuses a request that is longer than the buffer of the server before anything leaves', async () => {
    const { ask, exchange, sent } = await create({ bufferSize: 512 });
    // 46 bytes around the text, and its padding.
    const textOf = (length: number) => `{'action': '${'x'.repeat(length - 14)}'}`;
    const [fits, long] = [ask({ text: textOf(463) }), ask({ text: textOf(464) })];
    await exchange();
    expect([fits.isSettled, long.error?.code]).toEqual([true, 'BEN_REQUEST_TOO_LARGE']);
    expect(sent).toContain('REQ1');
  });

  it('ignores what is not its reply', async () => {
    const { ask, exchange, state, ignored } = await create();
    state.downward = (datagram) => [Buffer.from('noise'), datagram, datagram];
    const result = ask();
    await exchange();
    expect(result.text).toBe('{"data":1}');
    expect(ignored).toEqual(['bad-hash', 'bad-hash', 'bad-hash', 'unasked']);
  });

  it.each([
    { lost: 'REQ1', isOpen: false },
    { lost: 'REP', isOpen: true },
  ])('gives a cancelled request up, and then asks whether its session is open: $isOpen', async ({ lost, isOpen }) => {
    const { ask, exchange, sent, state } = await create();
    const abort = new AbortController();
    const pass = (datagram: Buffer) => (TYPES[datagram[1]!] === lost ? [] : [datagram]);
    Object.assign(state, { upward: pass, downward: pass });
    const result = ask({}, abort.signal);
    await exchange();
    abort.abort(new Error('enough'));
    await settle();
    expect(result.error).toMatchObject({ message: 'enough' });
    const passAll = (datagram: Buffer) => [datagram];
    Object.assign(state, { upward: passAll, downward: passAll });
    const next = ask();
    await exchange();
    expect([next.text, sent]).toEqual(['{"data":1}', ['OPEN', 'REQ1', 'OPEN', isOpen ? 'REQ' : 'REQ1']]);
  });

  it('keeps an open session if a request is cancelled: a server has 64 for a key, and keeps each for 30 s', async () => {
    const { ask, exchange, executed, sent, state } = await create();
    ask();
    await exchange();
    const held: Buffer[] = [];
    state.upward = (datagram) => {
      held.push(datagram);
      return [];
    };
    for (let count = 0; count < 100; count++) {
      const abort = new AbortController();
      ask({}, abort.signal);
      await exchange();
      abort.abort();
      await settle();
    }
    state.upward = (datagram) => [datagram, ...held.splice(0)];
    const next = ask();
    await exchange();
    // The number of the last request is the highest, so no earlier one runs after it.
    expect([next.text, executed.length, new Set(sent.slice(2))]).toEqual(['{"data":1}', 2, new Set(['REQ'])]);
  });

  it('binds one socket for a session, also if a request was cancelled meanwhile', async () => {
    const { ask, exchange, platform } = await create({ maxSockets: 1 });
    const abort = new AbortController();
    ask({}, abort.signal);
    abort.abort(new Error('enough'));
    const next = ask();
    await exchange();
    expect([next.text, platform.openSockets.length]).toEqual(['{"data":1}', 1]);
  });

  it('fails all requests when it is closed', async () => {
    const { ask, client } = await create({ maxSockets: 1 });
    const results = [ask(), ask()];
    await settle();
    await client.close();
    await settle();
    expect([...results, ask()].map(({ error }) => error?.code)).toEqual(['BEN_CLOSED', 'BEN_CLOSED', undefined]);
    expect(client.sockets).toEqual([]);
  });

  describe('with a server whose name gets another address', () => {
    it('does not hold a request longer than the shortest timeout while the name is looked up', async () => {
      const { ask, exchange, platform, sent } = await create({ host: 'ben.test' });
      ask();
      await exchange();
      platform.names.set('ben.test', new Promise(() => undefined));
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      const [patient, hasty] = [ask(), ask({ timeout: 50 })];
      await exchange();
      expect(sent).toHaveLength(2);
      await platform.advance(50);
      await exchange();
      expect([patient.text, hasty.text]).toEqual(['{"data":1}', '{"data":1}']);
    });

    it('sends from a socket of its family, and keeps the session', async () => {
      const { ask, exchange, platform, sent } = await create({ host: 'ben.test', idleTimeout: 86_400_000 });
      ask();
      await exchange();
      platform.names.set('ben.test', '2001:db8::2');
      await platform.advance(MAX_ADDRESS_AGE_MS + 1);
      const moved = ask();
      await exchange();
      expect([moved.text, sent]).toEqual(['{"data":1}', ['OPEN', 'REQ1', 'REQ']]);
      expect(platform.bound.map(({ host }) => host)).toEqual(['0.0.0.0', '::']);
      expect(platform.openSockets).toHaveLength(1);
    });
  });
});
