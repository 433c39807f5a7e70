import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type RejectedDecision,
  type VerifiedRequest,
  openId,
  openReply,
  sealRequest,
} from '../../lib/exchange/index.js';
import { V2ClientExchange } from '../../lib/exchange/v2/client-exchange.js';
import { KeyRing } from '../../lib/keys/index.js';
import { systemRandom } from '../../lib/random.js';
import { HELLO, Sealer } from '../../lib/protocol/index.js';
import {
  type Answer,
  type EndedExchange,
  Listener,
  type ListenerHandlers,
  type ListenerOptions,
} from '../../lib/server/index.js';
import { QUIET_WITHIN_MS, READ_ALL_WITHIN_MS } from '../../lib/server/leave-when-quiet.js';
import { MAX_PARTING_SOCKETS } from '../../lib/server/parting-replies.js';
import { LISTENER_OPTIONS } from '../support/listener-options.js';
import { KEY, OTHER_KEY, remoteOf } from '../support/pure-device.js';
import { ScriptedPlatform, type ScriptedSocket, settle } from '../support/scripted-platform.js';

const REMOTE = remoteOf('10.0.0.9', 7);
const keyOf = (index: number) => Buffer.alloc(32, `key ${index}`);
const ringOf = (key: Buffer) => new KeyRing([{ device: 'hall', key }]);

async function start(options: Partial<ListenerOptions> = {}, handlers: Partial<ListenerHandlers> = {}) {
  const platform = new ScriptedPlatform();
  const rejected: RejectedDecision[] = [];
  const ended: EndedExchange[] = [];
  const errors: unknown[] = [];
  const sendErrors: Error[] = [];
  const listener = await Listener.bind(
    { ...LISTENER_OPTIONS, ...options },
    ringOf(KEY),
    {
      onRequest: async () => ({ text: '{"data":1}', isError: false }),
      onRejected: (decision) => void rejected.push(decision),
      onRefused: () => undefined,
      onEnded: (exchange) => void ended.push(exchange),
      onError: (error) => void errors.push(error),
      onStoreFailed: (action, error) => void errors.push([action, error]),
      onSendError: (error) => void sendErrors.push(error),
      ...handlers,
    },
    platform,
  );
  onTestFinished(() => listener.close());
  return { platform, listener, socket: platform.sockets[0]!, rejected, ended, errors, sendErrors };
}

/** Says hello and sends a request, as a device with this key. */
async function ask(socket: ScriptedSocket, text = "{'action': 'echo'}", key = KEY, remote = REMOTE) {
  const sealer = new Sealer(key);
  await socket.receive([HELLO], remote);
  const [ciphertext, iv] = socket.sent.splice(0) as [Buffer, Buffer];
  const id = openId(sealer, { ciphertext, iv });
  await socket.receive([sealRequest(sealer, id, text)], remote);
  return {
    get reply() {
      const [hash, replyIv, data] = socket.sent;
      return hash && openReply(sealer, id, hash, { ciphertext: data!, iv: replyIv! });
    },
  };
}

/** All steps at the same time. */
const times = (at: number) => ({ receivedAt: at, verifiedAt: at, handlerAt: at, endedAt: at });

/** Answers when the test says so. */
function heldHandler() {
  const requests: VerifiedRequest[] = [];
  const answers: Array<(answer: Answer) => void> = [];
  const onRequest = (request: VerifiedRequest) => {
    requests.push(request);
    return new Promise<Answer>((resolve) => answers.push(resolve));
  };
  return { requests, answers, onRequest };
}

describe('Listener', () => {
  it('answers a hello with two datagrams, and a request with three', async () => {
    const { socket, listener, ended } = await start();
    const { reply } = await ask(socket);
    expect(reply).toBe('{"data":1}');
    expect(socket.sent.map(({ length }) => length)).toEqual([32, 16, 16]);
    expect(new Set(socket.sentTo)).toEqual(new Set(['10.0.0.9:7']));
    expect(ended).toEqual([{ request: expect.objectContaining({ device: 'hall' }), outcome: 'answered', ...times(0) }]);
    expect(listener.stats()).toMatchObject({ received: 2, hellos: 1, requests: 1, inFlight: 0, endpoints: 1 });
  });

  describe('a device of protocol v2', () => {
    /** Passes datagrams between a device and the server until the device is done. */
    async function askV2(socket: ScriptedSocket, client: V2ClientExchange, noreturn = false) {
      let step = client.begin("{'action': 'echo'}", noreturn, 0, 15_000);
      while (step.kind === 'send') {
        await socket.receive([step.datagram], REMOTE);
        const [answer] = socket.sent.splice(0);
        if (!answer) {
          break;
        }
        step = client.receive(answer, 0);
      }
      return step;
    }
    const createClient = () => new V2ClientExchange({ key: KEY, bufferSize: 1536, random: systemRandom });

    it('is answered beside one of v1, and counted with it', async () => {
      const { socket, listener, ended } = await start();
      const client = createClient();
      expect(await askV2(socket, client)).toEqual({ kind: 'done', text: '{"data":1}' });
      expect(await askV2(socket, client)).toEqual({ kind: 'done', text: '{"data":1}' });
      const { reply } = await ask(socket);
      expect(reply).toBe('{"data":1}');
      expect(ended.map(({ request, outcome }) => [request.protocol, request.device, outcome])).toEqual([
        ['v2', 'hall', 'answered'],
        ['v2', 'hall', 'answered'],
        ['v1', 'hall', 'answered'],
      ]);
      expect(listener.stats()).toMatchObject({ received: 5, hellos: 2, requests: 3, sessions: 1, endpoints: 1 });
    });

    it('gets an acknowledgement while its handler runs, and the same for a copy', async () => {
      const { answers, onRequest } = heldHandler();
      const { socket, listener, ended } = await start({}, { onRequest });
      const client = createClient();
      expect(await askV2(socket, client, true)).toEqual({ kind: 'done', text: undefined });
      expect(listener.stats()).toMatchObject({ inFlight: 1 });
      answers[0]!({ text: undefined, isError: false });
      await settle();
      expect(ended.map(({ outcome }) => outcome)).toEqual(['event']);
    });

    it('gets its reply again, which is counted, and no handler runs', async () => {
      const { socket, listener } = await start();
      const client = createClient();
      await askV2(socket, client);
      const step = client.begin("{'action': 'echo'}", false, 0, 15_000);
      const datagram = step.kind === 'send' ? step.datagram : Buffer.alloc(0);
      await socket.receive([datagram, datagram, datagram], REMOTE);
      expect(new Set(socket.sent.map((each) => each.toString('hex'))).size).toBe(1);
      expect(listener.stats()).toMatchObject({ received: 5, hellos: 1, requests: 2, resent: 2 });
    });

    it('shares the limit of handlers with v1', async () => {
      const { onRequest } = heldHandler();
      const inFlight = { maxInFlight: 1, maxInFlightPerDevice: 1, maxQueuedEvents: 0 };
      const { socket, rejected } = await start({ inFlight }, { onRequest });
      await ask(socket);
      await askV2(socket, createClient());
      expect(rejected.map(({ reason }) => reason)).toEqual(['busy']);
    });

    it('is answered if all handlers are busy', async () => {
      const { onRequest } = heldHandler();
      const inFlight = { maxInFlight: 1, maxInFlightPerDevice: 1, maxQueuedEvents: 0 };
      const { socket } = await start({ inFlight }, { onRequest, onRefused: ({ reason }) => `"${reason}"` });
      await ask(socket);
      socket.sent.length = 0;
      const client = createClient();
      expect(await askV2(socket, client)).toEqual({ kind: 'done', text: '"busy"' });
      expect(await askV2(socket, client)).toEqual({ kind: 'done', text: '"busy"' });
    });

    it('is refused when the server closes', async () => {
      const { socket, listener, rejected } = await start();
      const client = createClient();
      await askV2(socket, client);
      listener.stopIssuing();
      await askV2(socket, client);
      expect(rejected.map(({ reason }) => reason)).toEqual(['closing', 'closing']);
    });

    it('that has a GRANT is awaited when the server closes, and told that nothing ran', async () => {
      const { socket, listener, platform, rejected } = await start();
      const client = createClient();
      const open = client.begin("{'action': 'echo'}", false, 0, 15_000) as { datagram: Buffer };
      await socket.receive([open.datagram], REMOTE);
      let isDrained = false;
      const draining = listener.drain(5000).then(() => (isDrained = true));
      await platform.advance(100);
      expect(isDrained).toBe(false);
      const first = client.receive(socket.sent.splice(0)[0]!, 100) as { datagram: Buffer };
      await socket.receive([first.datagram], REMOTE);
      expect(rejected.map(({ reason }) => reason)).toEqual(['closing']);
      expect(client.receive(socket.sent.splice(0)[0]!, 100)).toMatchObject({ kind: 'send' });
      expect(client.phase).toBe('opening');
      await platform.advance(10);
      await draining;
      expect(listener.stats().requests).toBe(0);
    });

    it('that has a GRANT keeps its process on a shared port until it has asked', async () => {
      const { socket, listener, platform } = await start({ reusePort: true });
      const client = createClient();
      const open = client.begin("{'action': 'echo'}", false, 0, 15_000) as { datagram: Buffer };
      await socket.receive([open.datagram], REMOTE);
      const leaving = listener.stopIssuing();
      await platform.advance(100);
      expect(socket.isClosed).toBe(false);
      const first = client.receive(socket.sent.splice(0)[0]!, 100) as { datagram: Buffer };
      await socket.receive([first.datagram], REMOTE);
      await platform.advance(10);
      await leaving;
      expect([socket.isClosed, listener.stats().requests]).toEqual([true, 1]);
    });

    it('of a removed key has no session any more', async () => {
      const { socket, listener, rejected } = await start();
      const client = createClient();
      await askV2(socket, client);
      listener.useKeys(ringOf(OTHER_KEY));
      await askV2(socket, client);
      expect(listener.stats().sessions).toBe(0);
      expect(rejected.map(({ reason }) => reason)).toEqual(['unknown-session', 'unknown-key']);
    });
  });

  it('sends nothing for a request that wants no reply, and reports how it ended', async () => {
    const { socket, ended } = await start({}, { onRequest: async () => ({ text: '{"data":1}', isError: true }) });
    await ask(socket, "{'action': 'echo', 'noreturn': True}");
    expect(socket.sent).toEqual([]);
    expect(ended.map(({ outcome }) => outcome)).toEqual(['event-failed']);
  });

  it.each<[Answer, string, number]>([
    [{ text: '{"data":null}', isError: true }, 'error-reply', 3],
    [{ text: undefined, isError: true }, 'error-silent', 0],
  ])('reports the answer %j as %s', async (answer, outcome, datagrams) => {
    const { socket, ended } = await start({}, { onRequest: async () => answer });
    await ask(socket);
    expect([ended[0]!.outcome, socket.sent.length]).toEqual([outcome, datagrams]);
  });

  it('sends no reply after the device has given up', async () => {
    const { answers, onRequest } = heldHandler();
    const { socket, platform, ended, listener } = await start({}, { onRequest });
    await ask(socket);
    expect(listener.stats().inFlight).toBe(1);
    await platform.advance(LISTENER_OPTIONS.timeout);
    answers[0]!({ text: '{"data":1}', isError: false });
    await settle();
    expect(socket.sent).toEqual([]);
    expect(ended).toMatchObject([{ outcome: 'late', receivedAt: 0, handlerAt: 0, endedAt: LISTENER_OPTIONS.timeout }]);
  });

  it('keeps the times of the steps of a queued event', async () => {
    const { answers, onRequest } = heldHandler();
    const inFlight = { maxInFlight: 10, maxInFlightPerDevice: 1, maxQueuedEvents: 1 };
    const { socket, platform, ended } = await start({ inFlight }, { onRequest });
    await ask(socket, "{'action': 'log', 'noreturn': True}");
    socket.sent.length = 0;
    await platform.advance(100);
    await ask(socket, "{'action': 'log', 'noreturn': True}");
    await platform.advance(20);
    answers[0]!({ text: undefined, isError: false });
    await settle();
    await platform.advance(3);
    answers[1]!({ text: undefined, isError: false });
    await settle();
    expect(ended[1]).toMatchObject({ receivedAt: 100, verifiedAt: 100, handlerAt: 120, endedAt: 123 });
    expect(ended[1]!.request.pairSentAt).toBe(100);
  });

  it('survives a handler that rejects and one that throws, and reports both', async () => {
    const { socket, errors, ended, listener } = await start(
      {},
      {
        onRequest: vi
          .fn<ListenerHandlers['onRequest']>()
          .mockRejectedValueOnce(new Error('rejected'))
          .mockImplementationOnce(() => {
            throw new Error('thrown');
          })
          .mockResolvedValue({ text: '{"data":1}', isError: false }),
      },
    );
    await ask(socket);
    await ask(socket);
    const { reply } = await ask(socket);
    expect(errors).toEqual([new Error('rejected'), new Error('thrown')]);
    expect(ended.map(({ outcome }) => outcome)).toEqual(['error-silent', 'error-silent', 'answered']);
    expect(reply).toBe('{"data":1}');
    expect(listener.stats().inFlight).toBe(0);
  });

  it('reports an error of a handler for rejections, and goes on', async () => {
    const broken = new Error('broken');
    const { socket, errors } = await start(
      {},
      {
        onRejected: () => {
          throw broken;
        },
      },
    );
    await socket.receive([Buffer.from('junk')], REMOTE);
    await ask(socket);
    expect(errors).toEqual([broken]);
    expect(socket.sent).toHaveLength(3);
  });

  it('counts each rejection and reports it with its reason', async () => {
    const { socket, rejected, listener, platform } = await start();
    await socket.receive([Buffer.from('junk')], REMOTE);
    await ask(socket, undefined, OTHER_KEY);
    // Sooner, the next hello would be a copy.
    await platform.advance(1000);
    await ask(socket, 'no Python {');
    expect(rejected.map(({ reason }) => reason)).toEqual(['unknown-datagram', 'bad-hash', 'bad-text']);
    expect(listener.stats().rejectedByDevice).toEqual({ hall: { 'bad-text': 1 } });
    expect(listener.stats().rejected).toMatchObject({ 'unknown-datagram': 1, 'bad-hash': 1 });
  });

  it('replies to a verified request that cannot be read, if there is a text for it', async () => {
    const { socket, listener } = await start({}, { onRefused: () => '{"error":"unreadable"}' });
    expect((await ask(socket, 'no Python {')).reply).toBe('{"error":"unreadable"}');
    expect(listener.stats()).toMatchObject({ requests: 0, inFlight: 0 });
  });

  it('counts and reports a datagram that the system refuses to send', async () => {
    const { socket, sendErrors, errors, listener } = await start();
    socket.sendError = new Error('no route');
    await socket.receive([HELLO], REMOTE);
    expect(sendErrors).toEqual([socket.sendError, socket.sendError]);
    expect([errors, listener.stats().sendErrors]).toEqual([[], 2]);
  });

  it('spaces the datagrams of an answer', async () => {
    const { socket, platform } = await start({ datagramGap: 5 });
    await socket.receive([HELLO], REMOTE);
    expect(socket.sent).toHaveLength(1);
    await platform.advance(4);
    expect(socket.sent).toHaveLength(1);
    await platform.advance(1);
    expect(socket.sent).toHaveLength(2);
  });

  it('accepts other keys from now on', async () => {
    const { socket, listener, rejected } = await start();
    listener.useKeys(ringOf(OTHER_KEY));
    expect((await ask(socket, undefined, OTHER_KEY)).reply).toBe('{"data":1}');
    socket.sent.length = 0;
    await ask(socket, undefined, KEY);
    expect(rejected.map(({ reason }) => reason)).toEqual(['bad-hash']);
  });

  it('drains: issues no id, waits for handlers, and names those that it gives up on', async () => {
    const { requests, answers, onRequest } = heldHandler();
    const { socket, platform, listener, rejected, errors, ended } = await start({}, { onRequest });
    await ask(socket);
    const draining = listener.drain(1000);
    await socket.receive([HELLO], REMOTE);
    expect(rejected.map(({ reason }) => reason)).toEqual(['closing']);
    for (let waited = 0; waited <= 1000; waited += 10) {
      await platform.advance(10);
    }
    expect(await draining).toEqual(requests);
    await listener.close();
    answers[0]!({ text: '{"data":1}', isError: false });
    await settle();
    expect([socket.sent, errors, ended]).toEqual([[], [], []]);
  });

  it('leaves a shared port: closes the socket, and sends what it owes through sockets of their own', async () => {
    const { answers, onRequest } = heldHandler();
    const { socket, platform, ended, listener } = await start({ reusePort: true }, { onRequest });
    expect(platform.bound[0]).toMatchObject({ reusePort: true });
    await ask(socket);
    const draining = listener.drain(1000);
    await settle();
    expect(socket.isClosed).toBe(true);
    answers[0]!({ text: '{"data":1}', isError: false });
    await settle();
    await platform.advance(10);
    expect(await draining).toEqual([]);
    expect(ended).toMatchObject([{ outcome: 'answered' }]);
    expect(platform.bound[1]).toMatchObject({ host: '127.0.0.1', port: 8585, reusePort: true, peer: REMOTE });
    expect(platform.sockets[1]!.sent.map(({ length }) => length)).toEqual([32, 16, 16]);
    expect(platform.openSockets).toEqual([]);
  });

  it('finishes the searches for keys after it has left a shared port, and answers their boards', async () => {
    const { socket, platform, ended, listener } = await start({ reusePort: true });
    listener.useKeys(
      new KeyRing(Array.from({ length: 500 }, (_, index) => ({ device: `b${index}`, key: keyOf(index) }))),
    );
    // A busy machine: other searches come first.
    const planned: Array<() => void> = [];
    const afterTurn = vi.spyOn(platform, 'afterTurn').mockImplementation((callback) => void planned.push(callback));
    await ask(socket, undefined, keyOf(499));
    afterTurn.mockRestore();
    let isDrained = false;
    const draining = listener.drain(10_000).finally(() => (isDrained = true));
    await platform.advance(QUIET_WITHIN_MS);
    await platform.advance(READ_ALL_WITHIN_MS);
    await platform.advance(10);
    expect([socket.isClosed, isDrained]).toEqual([true, false]);
    planned.forEach((search) => search());
    await settle();
    await platform.advance(10);
    expect(await draining).toEqual([]);
    expect(ended).toMatchObject([{ request: { device: 'b499' }, outcome: 'answered' }]);
    expect(platform.sockets[1]!.sent.map(({ length }) => length)).toEqual([32, 16, 16]);
  });

  it('counts a closed port of a board as a send error, after it has left a shared port', async () => {
    const { answers, onRequest } = heldHandler();
    const { socket, platform, listener, errors, sendErrors } = await start({ reusePort: true }, { onRequest });
    await ask(socket);
    const draining = listener.drain(1000);
    await settle();
    answers[0]!({ text: '{"data":1}', isError: false });
    await settle();
    await platform.advance(10);
    await draining;
    const refused = Object.assign(new Error('recvmsg ECONNREFUSED'), { code: 'ECONNREFUSED' });
    platform.sockets[1]!.fail(refused);
    expect([errors, sendErrors, listener.stats().sendErrors]).toEqual([[], [refused], 1]);
  });

  it('answers hellos until it leaves a shared port, and counts one that arrives behind', async () => {
    const { answers, onRequest } = heldHandler();
    const { socket, platform, listener, rejected } = await start({ reusePort: true }, { onRequest });
    await ask(socket);
    await socket.receive([HELLO], remoteOf('10.0.0.10', 7));
    const stopped = listener.stopIssuing();
    await socket.receive([HELLO], remoteOf('10.0.0.11', 7));
    expect(listener.stats().hellos).toBe(3);
    await platform.advance(QUIET_WITHIN_MS);
    await stopped;
    expect(socket.isClosed).toBe(true);
    answers[0]!({ text: '{"data":1}', isError: false });
    await settle();
    expect(rejected).toEqual([]);
    // Between its bind and its connect, the socket of a reply gets datagrams of others.
    platform.sockets[1]!.isClosed = false;
    platform.sockets[1]!.receiveNow(HELLO, remoteOf('10.0.0.12', 7));
    expect(rejected).toMatchObject([{ reason: 'closing' }]);
    platform.sockets[1]!.isClosed = true;
  });

  it('counts replies beyond the sockets that it may open', async () => {
    const { answers, onRequest } = heldHandler();
    const count = MAX_PARTING_SOCKETS + 1;
    const inFlight = { maxInFlight: count * 2, maxInFlightPerDevice: 10, maxQueuedEvents: 0 };
    const { socket, platform, ended, listener } = await start(
      { reusePort: true, inFlight, maxEndpoints: 1000 },
      { onRequest },
    );
    for (let index = 0; index < count; index++) {
      await ask(socket, undefined, KEY, remoteOf(`10.0.${index >> 8}.${index & 255}`, 7));
    }
    const draining = listener.drain(1000);
    await settle();
    answers.forEach((answer) => answer({ text: '{"data":1}', isError: false }));
    await settle();
    await platform.advance(10);
    await draining;
    expect(ended.map(({ outcome }) => outcome).filter((outcome) => outcome === 'unsent')).toHaveLength(1);
    expect(listener.stats().outcomes).toMatchObject({ answered: MAX_PARTING_SOCKETS, unsent: 1 });
  });

  it('drains at once if nothing is under way', async () => {
    const { listener } = await start();
    expect(await listener.drain(1000)).toEqual([]);
  });

  it('rejects with a coded error if the port is taken, and leaves no timer', async () => {
    const platform = new ScriptedPlatform();
    platform.bindError = Object.assign(new Error('bind EADDRINUSE'), { code: 'EADDRINUSE' });
    const handlers = {} as ListenerHandlers;
    await expect(Listener.bind(LISTENER_OPTIONS, ringOf(KEY), handlers, platform)).rejects.toMatchObject({
      code: 'BEN_ADDRESS_IN_USE',
    });
    expect(platform.pendingTimers).toBe(0);
  });

  it('closes its socket and leaves no timer', async () => {
    const { listener, platform, socket } = await start();
    await listener.close();
    expect([socket.isClosed, platform.pendingTimers]).toEqual([true, 0]);
  });
});
