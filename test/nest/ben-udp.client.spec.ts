/** Options, patterns, data and life cycle of a client, and its exchanges with upstream's server. test/e2e/ tests it inside Nest. */
import { createSocket } from 'node:dgram';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { NEVER, type Observable, concatMap, firstValueFrom, lastValueFrom, takeUntil, timer, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { BenUdpClient } from '../../lib/nest/ben-udp.client.js';
import { type BenUdpClientOptions, resolveClientOptions } from '../../lib/nest/ben-udp.client-options.js';
import { BenUdpStatus } from '../../lib/nest/ben-udp.events.js';
import { BenUdpRecord, BenUdpRecordBuilder } from '../../lib/nest/ben-udp.record-builder.js';
import { deriveKey } from '../../lib/keys/index.js';
import { parsePythonText, parseReply, parseRequest } from '../../lib/protocol/index.js';
import { Random } from '../../lib/testing/random.js';
import { MovablePlatform } from '../support/movable-platform.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';
import { type Platform, nodePlatform } from '../../lib/net/index.js';
import { ScriptedServer, SERVER } from '../support/scripted-server.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { UpstreamServer, dumpJson } from '../support/upstream-server.js';
import { isPrintedAlike, recordedExchanges, recordedKeyFile, sortKeys } from '../support/vectors.js';

const key = Buffer.alloc(32, 'k');

beforeAll(() => Logger.overrideLogger(false));
afterAll(() => Logger.overrideLogger(new Logger()));

function create(options: BenUdpClientOptions = {}, platform: Platform = nodePlatform): BenUdpClient {
  const client = new BenUdpClient({ key, ...options }, platform);
  onTestFinished(() => client.close());
  return client;
}

/** A client on a scripted machine. */
function createScripted(options: BenUdpClientOptions = {}, server = new ScriptedServer(deriveKey(key))) {
  const platform = new ScriptedPlatform();
  const client = create({ host: SERVER.address, port: SERVER.port, ...options }, platform);
  /** Answers the next request, and resolves to its text. */
  const answer = async (reply?: string) => {
    await settle();
    const socket = platform.openSockets[0]!;
    await socket.receive(server.pair());
    const text = server.open(socket.sent.at(-1)!);
    await socket.receive(reply === undefined ? [] : server.reply(reply));
    return text;
  };
  /** The text of the request for a pattern and data. */
  const textOf = async (pattern: unknown, data: unknown) => {
    const asked = outcome(client.send(pattern, data));
    const text = await answer('{"data":1}');
    expect(await asked).toEqual([1]);
    return text;
  };
  return { client, platform, answer, textOf };
}

/** All values, or the error. */
function outcome(stream: Observable<unknown>): Promise<unknown> {
  return lastValueFrom(stream.pipe(toArray())).catch((error: unknown) => ({ error }));
}

describe('BenUdpClient options', () => {
  it.each([
    ['port', 1, 65_535],
    ['localPort', 0, 65_535],
    ['timeout', 10, 86_400_000],
    ['retries', 0, 100],
    ['bufferSize', 256, 65_507],
    ['maxSockets', 1, 1024],
    ['maxQueue', 0, 65_536],
    ['idleTimeout', 0, 86_400_000],
  ])('%s accepts %i to %i, and nothing beyond', (name, min, max) => {
    for (const value of [min, max, undefined]) {
      expect(() => create({ [name]: value })).not.toThrow();
    }
    for (const value of [min - 1, max + 1, min + 0.5, NaN]) {
      expect(() => create({ [name]: value })).toThrow(
        new RangeError(`BenUdpClient option "${name}" must be an integer from ${min} to ${max}, got ${value}`),
      );
    }
    expect(() => create({ [name]: '1' })).toThrow(TypeError);
  });

  it.each<[string, object, RegExp]>([
    ['keys by name, which are for a server', { keys: { a: key } }, /no option "keys"/],
    ['two keys', { keyFile: 'key.sec' }, /takes its keys from one option, got "keyFile" and "key"/],
    ['a key file that is no path', { key: undefined, keyFile: 1 }, /"keyFile" must be the path of a key file/],
    ['a short key', { key: key.subarray(1) }, /"key" must be at least 32 bytes/],
    ['every address as the host', { host: '0.0.0.0' }, /"host" must be the address of one host/],
    ['every IPv6 address as the host', { host: '::' }, /"host" must be the address of one host/],
    ['an empty host', { host: '' }, /"host" must be a non-empty string/],
    ['a name as localAddress', { localAddress: 'localhost' }, /"localAddress" must be an IP address/],
    [
      'a localAddress of another family',
      { host: '::1', localAddress: '127.0.0.1' },
      /an address of the same family as "host", ::1/,
    ],
    ['several sockets on one port', { localPort: 8585, maxSockets: 2 }, /"maxSockets" must be 1 if "localPort"/],
    ['idempotent as a number', { idempotent: 1 }, /"idempotent" must be true or false/],
    ['a serializer that cannot', { serializer: {} }, /"serializer" must be an object with a method serialize/],
    ['a deserializer that cannot', { deserializer: {} }, /"deserializer" must be .* deserialize/],
    ['an unknown option', { maxSocket: 1 }, /no option "maxSocket"$/],
  ])('refuse %s', (_title, options, message) => {
    expect(() => create(options)).toThrow(message);
  });

  it('are those of docs/client.md, with the defaults there', async () => {
    const text = await readFile(new URL('../../docs/client.md', import.meta.url), 'utf8');
    const [, table] = /## Options\n(.*?)\n## /s.exec(text)!;
    const rows = [...table!.matchAll(/^\| (`.*?) +\| (`.*?`|–) /gm)].flatMap(([, names, fallback]) =>
      [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => [name!, fallback!.replace(/^['`]+|['`]+$/g, '')] as const),
    );
    const documented = Object.fromEntries(rows);
    const { keys, client, call, protocol } = resolveClientOptions({});
    const { source } = keys.sources[0]!;
    expect(documented).toEqual({
      ...Object.fromEntries(
        Object.entries({ ...client, ...call, protocol }).map(([name, value]) => [name, String(value ?? '–')]),
      ),
      keyFile: source,
      key: source,
      keyFileChecks: keys.keyFileChecks,
      serializer: '–',
      deserializer: '–',
    });
    for (const name of Object.keys(documented)) {
      expect(() => create({ [name]: undefined })).not.toThrow();
    }
  });

  it('need no key before connect', async () => {
    expect(() => new BenUdpClient()).not.toThrow();
    expect(() => create({ key: undefined, keyFile: 'no such file' })).not.toThrow();
  });
});

describe('connect', () => {
  it('is called by the first request, loads the key once, and emits connect', async () => {
    const keyFile = join(await temporaryFolder(), 'key.sec');
    const { client, answer } = createScripted({ key: undefined, keyFile });
    const connected = vi.fn();
    client.on('connect', connected);
    const seen: string[] = [];
    client.status.subscribe((status) => seen.push(status));
    expect(await outcome(client.send('echo', 1))).toEqual({
      error: expect.objectContaining({ code: 'BEN_KEY_FILE_MISSING' }),
    });
    expect(seen).toEqual([]);
    // A failure is not remembered.
    await writeFile(keyFile, key, { mode: 0o600 });
    const asked = [outcome(client.send('echo', 1)), outcome(client.send('echo', 2))];
    await client.connect();
    await client.connect();
    await writeFile(keyFile, '');
    await answer('{"data":1}');
    expect(await asked[0]).toEqual([1]);
    expect(connected).toHaveBeenCalledOnce();
    expect(seen).toEqual([BenUdpStatus.CONNECTED]);
    await client.close();
    expect(await asked[1]).toMatchObject({ error: { code: 'BEN_CLOSED' } });
  });

  it('is not disturbed by a listener that throws', async () => {
    const { client, textOf } = createScripted();
    client.on('connect', () => {
      throw new Error('listener');
    });
    await client.connect();
    expect(await textOf('echo', 1)).toBeDefined();
  });

  it('fails if the host is unknown, and opens nothing', async () => {
    const client = create({ host: 'no-such-host.invalid' });
    await expect(client.connect()).rejects.toMatchObject({ code: 'BEN_HOST_UNKNOWN' });
    expect(() => client.unwrap()).toThrow('Please call the "connect" method first');
  });

  it('fails after the timeout of the client if the name server does not answer, and the next request tries again', async () => {
    const { client, platform, textOf } = createScripted({ host: 'ben.test', timeout: 400 });
    platform.names.set('ben.test', new Promise(() => undefined));
    const asked = outcome(client.send('echo', 1));
    await settle();
    await platform.advance(399);
    expect(await Promise.race([asked, 'pending'])).toBe('pending');
    await platform.advance(1);
    expect(await asked).toEqual({
      error: expect.objectContaining({ code: 'BEN_HOST_UNKNOWN', message: expect.stringContaining('within 400 ms') }),
    });
    expect(platform.pendingTimers).toBe(0);
    platform.names.set('ben.test', SERVER.address);
    expect(await textOf('echo', 1)).toBe("{'action': 'echo', 'data': 1}");
  });
});

describe('close', () => {
  it('rejects the promises of once with BEN_CLOSED, except for those of close', async () => {
    const client = create();
    await client.connect();
    const waiting = client.once('ignored').catch((error: unknown) => error);
    const closed = client.once('close');
    await client.close();
    expect(await waiting).toMatchObject({ name: 'BenUdpError', code: 'BEN_CLOSED' });
    expect(await closed).toEqual([]);
  });

  it('may be called before connect, and more than once', async () => {
    const client = create();
    await client.close();
    await client.close();
    await client.connect();
    expect(client.close()).toBe(client.close());
  });

  it('fails pending requests, closes the sockets, and emits close once', async () => {
    const { client, platform } = createScripted({ maxSockets: 1 });
    const closed = vi.fn();
    client.on('close', closed);
    const seen: string[] = [];
    client.status.subscribe((status) => seen.push(status));
    const asked = [outcome(client.send('echo', 1)), outcome(client.send('queued', 2)), outcome(client.emit('log', 3))];
    await settle();
    const closing = client.close();
    expect(client.close()).toBe(closing);
    const results = await Promise.all(asked);
    expect(results).toEqual([
      { error: expect.objectContaining({ code: 'BEN_CLOSED', pattern: 'echo', step: 'hello' }) },
      { error: expect.objectContaining({ code: 'BEN_CLOSED', pattern: 'queued', step: 'waiting' }) },
      { error: expect.objectContaining({ code: 'BEN_CLOSED', pattern: 'log', step: 'waiting' }) },
    ]);
    await closing;
    expect(platform.openSockets).toEqual([]);
    expect(platform.pendingTimers).toBe(0);
    expect(closed).toHaveBeenCalledOnce();
    expect(seen).toEqual([BenUdpStatus.CONNECTED, BenUdpStatus.CLOSED]);
  });

  it('during connect fails the requests that wait for it', async () => {
    const { client, platform } = createScripted();
    const asked = outcome(client.send('echo', 1));
    const connected = client.connect();
    await client.close();
    await expect(connected).rejects.toMatchObject({ code: 'BEN_CLOSED' });
    expect(await asked).toMatchObject({ error: { code: 'BEN_CLOSED' } });
    await settle();
    expect(platform.bound).toEqual([]);
  });

  it('between connect and a request that waited for it fails the request, and does not connect again', async () => {
    const { client } = createScripted();
    const asked = outcome(client.send('echo', 1));
    await client.connect();
    await client.close();
    expect(await asked).toMatchObject({ error: { code: 'BEN_CLOSED', pattern: 'echo', step: 'waiting', attempts: 0 } });
    expect(() => client.unwrap()).toThrow('Not initialized');
  });

  it('during the serialization of a request fails it, and does not connect again', async () => {
    let finish = (): void => undefined;
    const serializer = { serialize: (packet: unknown) => new Promise((resolve) => (finish = () => resolve(packet))) };
    const { client, platform } = createScripted({ serializer });
    const asked = outcome(client.send('echo', 1));
    await settle();
    await client.close();
    finish();
    expect(await asked).toMatchObject({ error: { code: 'BEN_CLOSED', pattern: 'echo' } });
    expect(platform.bound).toEqual([]);
    expect(() => client.unwrap()).toThrow('Not initialized');
  });

  it('on a fixed port is awaited by the next connect, because only then the port is free', async () => {
    const { client, answer } = createScripted({ localPort: 8585 });
    const asked = outcome(client.send('echo', 1));
    await settle();
    const events: string[] = [];
    const closing = client.close().then(() => events.push('closed'));
    const connecting = client.connect().then(() => events.push('connected'));
    await settle();
    expect(events).toEqual([]);
    await answer();
    expect(await asked).toMatchObject({ error: { code: 'BEN_CLOSED', step: 'request' } });
    await Promise.all([closing, connecting]);
    expect(events).toEqual(['closed', 'connected']);
  });

  it('lets the client be used again', async () => {
    const { client, textOf } = createScripted();
    await textOf('echo', 1);
    await client.close();
    const seen: string[] = [];
    client.status.subscribe((status) => seen.push(status));
    await textOf('echo', 2);
    expect(seen).toEqual([BenUdpStatus.CLOSED, BenUdpStatus.CONNECTED]);
    expect(client.getStats().requests).toBe(1);
  });
});

describe('on', () => {
  it('reports datagrams that belong to no request, and survives a listener that throws', async () => {
    const { client, platform, answer } = createScripted();
    client.on('ignored', () => {
      throw new Error('listener');
    });
    const ignored = vi.fn();
    const asked = outcome(client.send('echo', 1));
    client.on('ignored', ignored);
    await settle();
    await platform.sockets[0]!.receive([Buffer.alloc(16)], { address: '10.0.0.66', port: 9 });
    await answer('{"data":1}');
    expect(await asked).toEqual([1]);
    expect(ignored).not.toHaveBeenCalled();
    expect(client.getStats().ignored['other-sender']).toBe(1);
    const heard = createScripted();
    heard.client.on('ignored', ignored);
    await heard.textOf('echo', 1);
    await heard.platform.sockets[0]!.receive([Buffer.alloc(16)]);
    expect(ignored).toHaveBeenCalledExactlyOnceWith({ reason: 'unasked', remote: expect.objectContaining(SERVER) });
  });

  it('reports sockets that failed while idle, and needs no listener', async () => {
    const logged = vi.spyOn(Logger.prototype, 'error');
    onTestFinished(() => logged.mockRestore());
    const { client, platform, textOf } = createScripted();
    await textOf('echo', 1);
    const unheard = new Error('unheard');
    platform.openSockets[0]!.fail(unheard);
    const failed = vi.fn();
    client.on('error', failed);
    await textOf('echo', 1);
    const error = new Error('heard');
    platform.openSockets[0]!.fail(error);
    expect(failed).toHaveBeenCalledExactlyOnceWith(error);
    expect(logged.mock.calls).toEqual([[unheard], [error]]);
  });

  it('reports once that the name of the server is unknown now, while requests continue', async () => {
    const logged = vi.spyOn(Logger.prototype, 'error');
    onTestFinished(() => logged.mockRestore());
    const { client, platform, textOf } = createScripted({ host: 'ben.test' });
    const failed = vi.fn();
    client.on('error', failed);
    platform.names.set('ben.test', SERVER.address);
    await textOf('echo', 1);
    platform.names.clear();
    for (let minute = 0; minute < 3; minute++) {
      await platform.advance(60_001);
      await textOf('echo', 1);
    }
    const error = expect.objectContaining({ code: 'BEN_HOST_UNKNOWN' }) as unknown;
    expect(failed).toHaveBeenCalledExactlyOnceWith(error);
    expect(logged.mock.calls).toEqual([[error]]);
  });
});

describe('unwrap', () => {
  it('returns the bound sockets', async () => {
    const { client, platform, textOf } = createScripted();
    expect(() => client.unwrap()).toThrow('Not initialized. Please call the "connect" method first.');
    await client.connect();
    expect(client.unwrap()).toEqual([]);
    await textOf('echo', 1);
    expect(client.unwrap()).toEqual([platform.sockets[0]!.socket]);
  });
});

describe('send', () => {
  it.each<[unknown, unknown, string]>([
    ['echo', 'hello', "{'action': 'echo', 'data': 'hello'}"],
    ['echo', "it's", `{'action': 'echo', 'data': "it's"}`],
    ['echo', 0, "{'action': 'echo', 'data': 0}"],
    ['echo', false, "{'action': 'echo', 'data': False}"],
    ['echo', '', "{'action': 'echo', 'data': ''}"],
    ['echo', { a: [1.5, null, true], b: undefined }, "{'action': 'echo', 'data': {'a': [1.5, None, True]}}"],
    ['echo', Buffer.from([0, 255]), "{'action': 'echo', 'data': b'\\x00\\xff'}"],
    [7, 1, "{'action': 7, 'data': 1}"],
    [{ cmd: 'sum', version: 2 }, [1, 2], "{'action': {'cmd': 'sum', 'version': 2}, 'data': [1, 2]}"],
    ['echo', new BenUdpRecordBuilder().build(), "{'action': 'echo'}"],
    ['echo', new BenUdpRecordBuilder(null).build(), "{'action': 'echo', 'data': None}"],
    ['echo', new BenUdpRecordBuilder(5).setData(6).build(), "{'action': 'echo', 'data': 6}"],
  ])('turns %j with %j into the text of a dict', async (pattern, data, text) => {
    const { textOf } = createScripted();
    expect(await textOf(pattern, data)).toBe(text);
  });

  it.each<[string, unknown[]]>([
    ['{"data": {"celsius": 21.5}}', [{ celsius: 21.5 }]],
    ['{"data": null}', [null]],
    ['{"data": false}', [false]],
    ['{"data": ""}', ['']],
    ['{"data": 9007199254740993}', [9007199254740993n]],
    ['plain text', ['plain text']],
    ['{"data": {"err": 1, "isDisposed": true}}', [{ err: 1, isDisposed: true }]],
  ])('emits the data of %s, and completes', async (reply, values) => {
    const { client, answer } = createScripted();
    const asked = outcome(client.send('echo', 1));
    await answer(reply);
    expect(await asked).toEqual(values);
  });

  it.each<[string, unknown]>([
    [
      '{"data":null,"error":{"status":"error","message":"no such sensor"}}',
      { status: 'error', message: 'no such sensor' },
    ],
    ['{"error":{"code":404}}', { code: 404 }],
    ['{"error":"text"}', 'text'],
    ['{"data":null,"error":null}', { status: 'error', message: 'Unknown error' }],
    ['{"data":null,"error":""}', { status: 'error', message: 'Unknown error' }],
  ])('fails with the content of the error reply %s, as other transports do', async (reply, error) => {
    const { client, answer } = createScripted();
    const asked = outcome(client.send('echo', 1));
    await answer(reply);
    expect(await asked).toEqual({ error });
  });

  it.each([undefined, null])('refuses %s as data or pattern, as Nest does', async (nothing) => {
    const { client } = createScripted();
    await expect(firstValueFrom(client.send('echo', nothing))).rejects.toThrow('undefined/null');
    await expect(firstValueFrom(client.send(nothing, 1))).rejects.toThrow('undefined/null');
  });

  it('fails if data has no Python text, or the request might not fit', async () => {
    const { client, platform } = createScripted();
    expect(await outcome(client.send('echo', () => 1))).toMatchObject({ error: { code: 'BEN_UNSERIALIZABLE' } });
    expect(await outcome(client.send('echo', 'x'.repeat(5000)))).toMatchObject({
      error: { code: 'BEN_REQUEST_TOO_LARGE', pattern: 'echo' },
    });
    expect(platform.bound).toEqual([]);
  });

  it('names an object pattern by its route in errors', async () => {
    const { client, platform } = createScripted({ timeout: 50 });
    const asked = outcome(client.send({ version: 2, cmd: 'sum' }, 1));
    await settle();
    await platform.advance(50);
    expect(await asked).toMatchObject({ error: { code: 'BEN_TIMEOUT', pattern: '{"cmd":"sum","version":2}' } });
  });

  it('is cold: each subscription makes its own request, and without a subscription there is no request', async () => {
    const { client, platform, answer } = createScripted();
    const stream = client.send('echo', 1);
    await settle();
    expect(platform.bound).toEqual([]);
    for (const round of [1, 2]) {
      const asked = outcome(stream);
      await answer(`{"data":${round}}`);
      expect(await asked).toEqual([round]);
    }
  });

  it('leaves the queue, or its socket, when it is unsubscribed', async () => {
    const { client, platform } = createScripted({ maxSockets: 1 });
    const running = client.send('running', 1).subscribe();
    await settle();
    const queued = client.send('queued', 1).subscribe();
    await settle();
    expect(client.getStats()).toMatchObject({ running: 1, waiting: 1 });
    queued.unsubscribe();
    await settle();
    expect(client.getStats()).toMatchObject({ running: 1, waiting: 0, sockets: 1 });
    running.unsubscribe();
    await settle();
    expect(client.getStats()).toMatchObject({ running: 0, waiting: 0, sockets: 0, outcomes: { cancelled: 2 } });
    expect(platform.openSockets).toEqual([]);
    expect(platform.pendingTimers).toBe(0);
  });
});

describe('emit', () => {
  it('sends noreturn, and completes without a value when the socket has accepted the request', async () => {
    const { client, answer } = createScripted();
    const emitted = outcome(client.emit('log', { level: 1 }));
    expect(await answer()).toBe("{'action': 'log', 'data': {'level': 1}, 'noreturn': True}");
    expect(await emitted).toEqual([undefined]);
    expect(client.getStats().outcomes.sent).toBe(1);
  });

  it('is hot: it is sent without a subscription', async () => {
    const { client, answer } = createScripted();
    client.emit('log', new BenUdpRecordBuilder().build());
    expect(await answer()).toBe("{'action': 'log', 'noreturn': True}");
  });

  it('may fail without a subscription', async () => {
    const { client, platform } = createScripted({ timeout: 50 });
    client.emit('log', 1);
    await settle();
    await platform.advance(50);
    expect(client.getStats().outcomes.failed).toBe(1);
  });
});

describe('BenUdpRecordBuilder', () => {
  it('overrides timeout, retries and idempotent for one request', async () => {
    const { client, platform } = createScripted({ timeout: 5000, retries: 3, idempotent: true });
    const record = new BenUdpRecordBuilder(1).setTimeout(20).setRetries(1).setIdempotent(false).build();
    const asked = outcome(client.send('echo', record));
    await settle();
    await platform.advance(20);
    await platform.openSockets[0]!.receive(new ScriptedServer(deriveKey(key)).pair());
    await platform.advance(20);
    expect(await asked).toMatchObject({ error: { code: 'BEN_TIMEOUT', attempts: 2, step: 'request', elapsedMs: 40 } });
  });

  it('leaves options that it does not set to the client', async () => {
    const { client, platform } = createScripted({ timeout: 30, retries: 2 });
    for (const [record, elapsedMs, attempts] of [
      [new BenUdpRecordBuilder(1).setTimeout(20).build(), 60, 3],
      [new BenUdpRecordBuilder(1).setRetries(1).build(), 60, 2],
    ] as const) {
      const asked = outcome(client.send('echo', record));
      await settle();
      for (let attempt = 0; attempt < attempts; attempt++) {
        await platform.advance(elapsedMs / attempts);
      }
      expect(await asked).toMatchObject({ error: { attempts, elapsedMs } });
    }
  });

  it('refuses at once the values that the options refuse', () => {
    expect(() => new BenUdpRecordBuilder(1).setTimeout(9)).toThrow(
      'BenUdpRecordBuilder option "timeout" must be an integer from 10 to 86400000, got 9',
    );
    expect(() => new BenUdpRecordBuilder(1).setRetries(101)).toThrow(RangeError);
    expect(() => new BenUdpRecordBuilder(1).setIdempotent('yes' as never)).toThrow(TypeError);
  });

  it('makes records that another copy of the package recognises', async () => {
    const { client, answer } = createScripted();
    const foreign = { data: 2, options: { timeout: 20 }, [Symbol.for('nestjs-ben-udp record')]: true };
    const asked = outcome(client.send('echo', foreign));
    expect(await answer('{"data":2}')).toBe("{'action': 'echo', 'data': 2}");
    expect(await asked).toEqual([2]);
    expect(await outcome(client.send('echo', new BenUdpRecord(1, { retries: -1 })))).toMatchObject({
      error: expect.any(RangeError) as unknown,
    });
  });
});

describe('serializer and deserializer', () => {
  it('get the same as with other clients: the packet without its record, and the response', async () => {
    const serialize = vi.fn<(packet: { pattern: string; data: number }) => object>(({ pattern, data }) => ({
      pattern: `v2.${pattern}`,
      data: data + 1,
    }));
    const deserialize = vi.fn<(packet: { response: number }) => object>(({ response }) => ({
      response: response * 10,
    }));
    const { client, answer } = createScripted({ serializer: { serialize }, deserializer: { deserialize } as never });
    const asked = outcome(client.send('echo', new BenUdpRecord(1)));
    expect(await answer('{"data":4}')).toBe("{'action': 'v2.echo', 'data': 2}");
    expect(await asked).toEqual([40]);
    expect(serialize).toHaveBeenCalledExactlyOnceWith({ pattern: 'echo', data: 1 });
    expect(deserialize).toHaveBeenCalledExactlyOnceWith({ response: 4, isDisposed: true });
  });

  it('may be asynchronous, and get errors too', async () => {
    const deserialize = vi.fn<(packet: { err: object }) => Promise<object>>(async ({ err }) => ({
      err: { ...err, seen: true },
    }));
    const serializer = { serialize: async (packet: object) => packet };
    const { client, answer } = createScripted({ serializer, deserializer: { deserialize } as never });
    const asked = outcome(client.send('echo', 1));
    await answer('{"data":null,"error":{"message":"no"}}');
    expect(await asked).toEqual({ error: { message: 'no', seen: true } });
    expect(deserialize).toHaveBeenCalledExactlyOnceWith({ err: { message: 'no' }, isDisposed: true });
  });

  it('that fail, or return no packet, fail the request', async () => {
    const broken = new Error('broken');
    const fail = () => {
      throw broken;
    };
    const { client: first, platform } = createScripted({ serializer: { serialize: fail } });
    expect(await outcome(first.send('echo', 1))).toEqual({ error: broken });
    const { client: second } = createScripted({ serializer: { serialize: () => 'text' } });
    expect(await outcome(second.send('echo', 1))).toMatchObject({ error: { code: 'BEN_UNSERIALIZABLE' } });
    expect(platform.bound).toEqual([]);
    const { client: third, answer } = createScripted({ deserializer: { deserialize: fail } });
    const asked = outcome(third.send('echo', 1));
    await answer('{"data":1}');
    expect(await asked).toEqual({ error: broken });
  });
});

/** From Nest 12 on. */
describe.runIf('setOnDispatchHook' in BenUdpClient.prototype)('setOnDispatchHook', () => {
  it('sends metadata under a key of its own, for messages and events', async () => {
    const { client, textOf, answer } = createScripted();
    client.setOnDispatchHook((packet) => {
      packet.metadata = { traceparent: '00-ab' };
    });
    expect(await textOf('echo', 1)).toBe("{'action': 'echo', 'data': 1, 'meta': {'traceparent': '00-ab'}}");
    client.emit('log', 1);
    expect(await answer()).toBe("{'action': 'log', 'data': 1, 'meta': {'traceparent': '00-ab'}, 'noreturn': True}");
  });
});

describe('the recordings of upstream', () => {
  it.each(recordedExchanges)('$title: the client sends and gets the same as the device', async (recorded) => {
    const platform = new ScriptedPlatform();
    const client = create({ key: recordedKeyFile, host: SERVER.address, port: SERVER.port }, platform);
    const { action, data, noreturn } = parseRequest(recorded.request);
    const record = new BenUdpRecord(data);
    const asked = outcome(noreturn ? client.emit(action, record) : client.send(action, record));
    await settle();
    const [socket] = platform.sockets;
    await socket!.receive([recorded.pair.ciphertext, recorded.pair.iv]);
    const text = new ScriptedServer(deriveKey(recordedKeyFile), recorded.id.toString()).open(socket!.sent[1]!);
    expect(parseRequest(text)).toEqual(parseRequest(recorded.request));
    if (isPrintedAlike(recorded)) {
      expect(sortKeys(text)).toBe(sortKeys(recorded.request));
    }
    await socket!.receive(recorded.reply);
    expect(await asked).toEqual([noreturn ? undefined : parsePythonText(recorded.seenByDevice)]);
    expect(client.getStats()).toMatchObject({ waiting: 0, running: 0, outcomes: { failed: 0, cancelled: 0 } });
  });
});

describe("upstream's server", () => {
  const TIMEOUT_MS = 600_000;
  const handlers = {
    echo: (data?: unknown) => data ?? null,
    temperature: () => ({ celsius: 21.5, unit: 'C' }),
    slow: (ms?: unknown) => new Promise((resolve) => setTimeout(() => resolve('late'), ms as number)),
    /** Answers when the test says so. */
    held: () => {
      isHeld = true;
      return new Promise((resolve) => (release = () => resolve('released')));
    },
    log: (data?: unknown) => void logged.push(data),
  };
  let logged: unknown[] = [];
  let isHeld = false;
  let release: () => void = () => undefined;

  async function start(options: BenUdpClientOptions = {}) {
    logged = [];
    isHeld = false;
    // Both wait as long as they can, because one that gives up on a busy machine ends the server.
    const server = await UpstreamServer.start({ key, handlers, timeout: 600_000 });
    onTestFinished(() => release());
    const clock = new MovablePlatform();
    // An address of its own, so that it can have the server's port number on one machine.
    const client = create(
      { port: server.port, localPort: server.port, localAddress: '127.0.0.2', timeout: TIMEOUT_MS, ...options },
      clock,
    );
    return { server, client, clock };
  }

  it('gets requests in series from its own port number, and stays alive', async () => {
    const { server, client } = await start();
    const values = [
      'hello',
      "it's",
      'h\xe9 \u20ac \u{1f600}',
      21.5,
      -0,
      2n ** 70n,
      [1, null, true],
      { a: { b: [] } },
      'x'.repeat(500),
    ];
    const answers = await Promise.all(values.map((value) => firstValueFrom(client.send('echo', value))));
    expect(answers).toEqual(values);
    expect(await firstValueFrom(client.send('temperature', new BenUdpRecord(undefined)))).toEqual({
      celsius: 21.5,
      unit: 'C',
    });
    expect(server.served).toHaveLength(10);
    expect(server.served[0]).toBe("{'action': 'echo', 'data': 'hello'}");
    expect(server.ids.every((id) => /^\d{6,11}$/.test(id))).toBe(true);
    expect(client.unwrap<unknown[]>()).toHaveLength(1);
    expect(server.causeOfDeath).toBeUndefined();
  });

  it('gets events and messages in order, and answers no event', async () => {
    const { server, client } = await start();
    const asked = [client.emit('log', 1), client.send('echo', 2), client.emit('log', 3), client.send('echo', 4)];
    expect(await Promise.all(asked.map(outcome))).toEqual([[undefined], [2], [undefined], [4]]);
    expect(logged).toEqual([1, 3]);
    expect(client.getStats().ignored).toEqual({
      'other-sender': 0,
      'wrong-size': 0,
      reflected: 0,
      duplicate: 0,
      'bad-hash': 0,
      unasked: 0,
    });
    expect(server.causeOfDeath).toBeUndefined();
  });

  it.runIf('setOnDispatchHook' in BenUdpClient.prototype)('survives metadata, which it does not know', async () => {
    const { server, client } = await start();
    client.setOnDispatchHook((packet) => {
      packet.metadata = { traceparent: '00-ab' };
    });
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    expect(server.causeOfDeath).toBeUndefined();
  });

  it('survives requests that are unsubscribed, running and waiting', async () => {
    const { server, client } = await start();
    await firstValueFrom(client.send('echo', 0));
    const running = client.send('held', 1).subscribe();
    const waiting = client.send('echo', 'never sent').subscribe();
    const last = outcome(client.send('echo', 'last'));
    await expect.poll(() => [isHeld, client.getStats().waiting]).toEqual([true, 2]);
    waiting.unsubscribe();
    running.unsubscribe();
    release();
    expect(await last).toEqual(['last']);
    expect(server.served).toEqual([
      "{'action': 'echo', 'data': 0}",
      "{'action': 'held', 'data': 1}",
      "{'action': 'echo', 'data': 'last'}",
    ]);
    expect(server.causeOfDeath).toBeUndefined();
  });

  it('survives 200 requests and events of which any may be unsubscribed at any time', async () => {
    const { server, client } = await start();
    const random = new Random(1);
    const asked = Array.from({ length: 200 }, (_, index) => {
      const [startAt, ms] = [random.between(0, 500), random.between(0, 5)];
      const stream = random.pick([
        () => client.send('echo', index),
        () => client.send('slow', ms),
        () => client.emit('log', index),
      ]);
      const giveUp = random.chance(0.5) ? timer(startAt + random.between(0, 20)) : NEVER;
      const started = timer(startAt).pipe(concatMap(stream), takeUntil(giveUp));
      return lastValueFrom(started, { defaultValue: undefined });
    });
    await Promise.all(asked);
    expect(await outcome(client.send('echo', 'last'))).toEqual(['last']);
    const { outcomes } = client.getStats();
    expect(outcomes.failed).toBe(0);
    // The numbers depend on the speed of the machine. The test only needs both kinds.
    expect(outcomes.cancelled).toBeGreaterThan(0);
    expect(outcomes.answered + outcomes.sent).toBeGreaterThan(0);
    expect(server.causeOfDeath).toBeUndefined();
  });

  it('survives a request that timed out: its late reply is not taken for an id', async () => {
    const { server, client, clock } = await start();
    const [first, second] = [outcome(client.send('held', 1)), outcome(client.send('echo', 'after'))];
    await expect.poll(() => isHeld).toBe(true);
    clock.advance(TIMEOUT_MS);
    expect(await first).toMatchObject({ error: { code: 'BEN_TIMEOUT', step: 'request' } });
    release();
    expect(await second).toEqual(['after']);
    expect(client.getStats().ignored.unasked).toBe(3);
    expect(server.causeOfDeath).toBeUndefined();
  });

  it('survives a close during an exchange, and the client can send the next request', async () => {
    const { server, client } = await start();
    const [running, waiting] = [outcome(client.send('held', 1)), outcome(client.send('echo', 'waiting'))];
    await expect.poll(() => isHeld).toBe(true);
    const closing = client.close();
    const connecting = client.connect();
    expect(await waiting).toMatchObject({ error: { code: 'BEN_CLOSED', step: 'waiting' } });
    expect(await running).toMatchObject({ error: { code: 'BEN_CLOSED', step: 'request' } });
    release();
    await closing;
    await connecting;
    await expect.poll(() => server.served).toEqual(["{'action': 'held', 'data': 1}"]);
    expect(await outcome(client.send('echo', 'after'))).toEqual(['after']);
    expect(server.causeOfDeath).toBeUndefined();
  });

  it('gets no reply to another port, because it answers to its own port number', async () => {
    const { server, client, clock } = await start({ localPort: 0 });
    const asked = outcome(client.send('echo', 1));
    await expect.poll(() => server.ids).toHaveLength(1);
    clock.advance(TIMEOUT_MS);
    expect(await asked).toMatchObject({ error: { code: 'BEN_TIMEOUT', step: 'hello' } });
  });

  it('ends on an unknown action, and the client times out', async () => {
    const { server, client, clock } = await start();
    const asked = outcome(client.send('unknown', 1));
    await expect.poll(() => server.causeOfDeath).toMatchObject({ message: expect.stringContaining('KeyError') });
    clock.advance(TIMEOUT_MS);
    expect(await asked).toMatchObject({ error: { code: 'BEN_TIMEOUT', step: 'request' } });
  });

  it.each([
    ['a second hello', ['/GETID', '/GETID'], /no envelope/],
    ['something that is no hello', ['junk'], /no hello/],
    ['a request under another key', ['/GETID', "{'hash': b'x', 'data': b'x', 'iv': b'x'}"], /no envelope/],
  ])('as it stands here ends on %s', async (_title, datagrams, reason) => {
    const { server, client } = await start();
    await firstValueFrom(client.send('echo', 1));
    const [socket] = client.unwrap();
    datagrams.forEach((datagram) => socket!.send(datagram, server.port, '127.0.0.1'));
    await expect.poll(() => server.causeOfDeath).toMatchObject({ message: expect.stringMatching(reason) as unknown });
  });

  it('as it stands here ends on a request that does not come', async () => {
    const server = await UpstreamServer.start({ key, handlers, timeout: 50 });
    const stranger = createSocket('udp4');
    onTestFinished(() => void stranger.close());
    // The server answers to its own port number, so at its own address it would read its answer.
    stranger.bind(0, '127.0.0.2', () => stranger.send('/GETID', server.port, '127.0.0.1'));
    await expect.poll(() => server.causeOfDeath).toMatchObject({ message: expect.stringContaining('timed out') });
  });

  it.each(recordedExchanges.filter(({ response }) => response !== null))(
    'as it stands here prints JSON as recorded: $response',
    ({ response }) => {
      expect(dumpJson({ data: parseReply(response!) })).toBe(response);
    },
  );
});
