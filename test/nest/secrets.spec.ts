/** No print-out of an object that a user holds shows a key or the pair secret, and nothing keeps the key bytes of a user. */
import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { inspect } from 'node:util';
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpClient, BenUdpContext, BenUdpModule, BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DEFAULT_LIMITS, ServerExchange } from '../../lib/exchange/index.js';
import { KeyRing } from '../../lib/keys/index.js';
import { Hmac, Sealer } from '../../lib/protocol/index.js';
import { V2ClientExchange } from '../../lib/exchange/v2/client-exchange.js';
import { deriveKey } from '../../lib/keys/index.js';
import { nodePlatform } from '../../lib/net/index.js';
import {
  SESSION_KEY_BYTES,
  deriveSessionKeys,
  readGrant,
  readOpen,
  sessionSecretOf,
} from '../../lib/protocol/v2/index.js';
import { startApp } from '../support/nest-app.js';
import { V2AnsweringServer } from '../support/v2-server.js';

// Printing everything that a transport holds is slow on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const contents = randomBytes(32);
const derived = deriveKey(contents);

/** To print longer arrays takes half a minute. They are searched for the bytes themselves. */
const MAX_ARRAY_LENGTH = 8192;

/** All print-outs of a value that a person, a logger or a debugger may make. */
function printOuts(value: unknown): string[] {
  const everything = {
    depth: Infinity,
    showHidden: true,
    getters: true,
    maxArrayLength: MAX_ARRAY_LENGTH,
    maxStringLength: null,
  };
  const texts = [inspect(value, everything), inspect(value, { ...everything, customInspect: false }), String(value)];
  try {
    texts.push(JSON.stringify(value));
  } catch (error) {
    // Circular, as sockets are. The text before the circle is lost.
    texts.push(String(error));
  }
  return texts.map((text) => text.replaceAll(/\s+/g, ' '));
}

/** How the bytes would show: as Node inspects them, as JSON has them, and in encodings. */
function traces(secret: Uint8Array): string[] {
  // Not a copy by `Buffer.from`: it would lie in Node's pool, and the test itself would find it there.
  const bytes = Buffer.alloc(secret.length);
  bytes.set(secret);
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 24),
    hex.slice(0, 24).replaceAll(/(..)(?=.)/g, '$1 '),
    bytes.toString('base64').slice(0, 16),
    [...bytes.subarray(0, 8)].join(','),
    [...bytes.subarray(0, 8)].join(', '),
    bytes.toString('latin1').slice(0, 8),
  ];
}

/** The bytes of all arrays in a value, at any depth. */
function* arraysIn(value: unknown): Iterable<Buffer> {
  const seen = new Set<unknown>([value]);
  for (const each of seen) {
    if (ArrayBuffer.isView(each)) {
      yield Buffer.from(each.buffer, each.byteOffset, each.byteLength);
    } else if ((typeof each === 'object' || typeof each === 'function') && each !== null) {
      Reflect.ownKeys(each).forEach((key) => seen.add(Object.getOwnPropertyDescriptor(each, key)?.value));
      if (each instanceof Map || each instanceof Set) {
        [...each].flat().forEach((member) => seen.add(member));
      }
    }
  }
}

/** The traces of secrets that a print-out of a value shows, and secrets in its long arrays. */
function findTraces(value: unknown, ...secrets: Uint8Array[]): string[] {
  const texts = printOuts(value);
  const arrays = [...arraysIn(value)].filter(({ length }) => length > MAX_ARRAY_LENGTH);
  return [
    ...secrets.flatMap(traces).filter((trace) => texts.some((text) => text.includes(trace))),
    ...secrets
      .filter((secret) => arrays.some((array) => array.indexOf(secret.subarray(0, 8)) >= 0))
      .map(() => 'raw bytes'),
  ];
}

let seen: BenUdpContext | undefined;

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(@Payload() data: unknown, @Ctx() context: BenUdpContext) {
    seen = context;
    return data;
  }
}

describe('print-outs', () => {
  it('of a transport, a client, a board and a context show no key, before and after an exchange', async () => {
    const { transport, board, port } = await startApp({ controllers: [Echo] }, { key: contents });
    const fresh = new BenUdpTransport({ keys: { a: contents, b: [randomBytes(32), 'b.sec'] } });
    const client = new BenUdpClient({ port, key: contents });
    onTestFinished(() => client.close());
    const device = await board({ key: contents });
    expect(findTraces([fresh, client, device], contents, derived)).toEqual([]);
    await device.send({ action: 'echo', data: 1 });
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    await transport.reloadKeys({ key: [contents, randomBytes(32)] });
    for (const value of [transport, client, device, seen, { options: { transport } }]) {
      expect(findTraces(value, contents, derived)).toEqual([]);
    }
  });

  it('of both sides of protocol v2 show no key of their session', () => {
    const client = new V2ClientExchange({ key: derived, bufferSize: 4096, random: nodePlatform.randomFill });
    const server = new V2AnsweringServer({ keys: [{ device: 'a', key: derived }] }, () => '{"data":1}');
    const sent: Buffer[] = [];
    let decision = client.begin('{}', false, 0, 10_000);
    while (decision.kind === 'send') {
      const { datagram } = server.receive(decision.datagram);
      sent.push(decision.datagram, datagram!);
      decision = client.receive(datagram!, 0);
    }
    expect(decision).toMatchObject({ kind: 'done' });
    const [open, grant] = sent as [Buffer, Buffer];
    const secret = sessionSecretOf(derived, { ...readOpen(open), ...readGrant(derived, grant, readOpen(open))! });
    const keys = Buffer.alloc(SESSION_KEY_BYTES);
    deriveSessionKeys(secret, keys);
    const each = [0, 32, 64, 96].map((at) => keys.subarray(at, at + 32));
    expect(findTraces([client, server.exchange], secret, derived, ...each)).toEqual([]);
  });

  it('of a transport, a client and a board with protocol v2 hold no array of the length of a key', async () => {
    const { transport, board, port } = await startApp({ controllers: [Echo] }, { key: contents });
    const client = new BenUdpClient({ port, key: contents, protocol: 'v2' });
    onTestFinished(() => client.close());
    const device = await board({ key: contents, protocol: 'v2' });
    await device.send({ action: 'echo', data: 1 });
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    for (const value of [transport, client, device, seen]) {
      expect(findTraces(value, contents, derived)).toEqual([]);
      const like = [...arraysIn(value)].filter(
        (array) => array.length === derived.length && array.some((byte) => byte !== 0),
      );
      expect(like).toEqual([]);
    }
  });

  it('of a JSON text of a transport and a client are there, though both hold sockets', async () => {
    const { transport, port } = await startApp({ controllers: [Echo] }, { key: contents });
    const client = new BenUdpClient({ port, key: contents });
    onTestFinished(() => client.close());
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    expect(JSON.parse(JSON.stringify(transport))).toEqual({ transport: 'BenUdp', host: '127.0.0.1', port: 0 });
    expect(JSON.parse(JSON.stringify(client))).toEqual({ client: 'BenUdp', host: '127.0.0.1', port });
  });

  it('of an exchange, a ring, a sealer and a hash show neither keys nor the pair secret', () => {
    const secret = randomBytes(32);
    const padded = Buffer.from(secret.map((byte) => byte ^ 0x36));
    const exchange = new ServerExchange({
      keys: new KeyRing([{ device: 'a', key: derived }]),
      maxDatagramBytes: 4096,
      deviceTimeoutMs: 10_000,
      maxEndpoints: 16,
      limits: DEFAULT_LIMITS,
      inFlight: { maxInFlight: 1, maxInFlightPerDevice: 1, maxQueuedEvents: 0 },
      repair: true,
      secret,
    });
    expect(findTraces(exchange, secret, padded, derived)).toEqual([]);
    expect(findTraces(new Hmac(secret), secret, padded)).toEqual([]);
    expect(findTraces(new Sealer(derived), derived)).toEqual([]);
  });

  it('are searched in long arrays too', () => {
    const secret = randomBytes(32);
    const long = new Uint32Array(MAX_ARRAY_LENGTH);
    Buffer.from(long.buffer).set(secret, MAX_ARRAY_LENGTH * 2);
    expect(findTraces({ deep: new Map([['table', [long]]]) }, secret)).toEqual(['raw bytes']);
  });

  it('of an error of the options show no byte that was given', () => {
    const short = randomBytes(31);
    for (const make of [
      () => new BenUdpTransport({ key: short }),
      () => new BenUdpTransport({ keys: { a: short } }),
      () => new BenUdpClient({ key: short }),
      () => new BenUdpClient({ key: [short] as never }),
    ]) {
      let error: unknown;
      try {
        make();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(Error);
      expect(findTraces(error, short)).toEqual([]);
    }
  });
});

describe('the bytes that a user gave', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  /** Whether the bytes are collected while the object that was made from them lives. */
  async function isLetGo(make: (bytes: Uint8Array) => unknown): Promise<boolean> {
    const collected = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => collected.add(name));
    const made = (() => {
      const bytes = new Uint8Array(randomBytes(32));
      registry.register(bytes, 'bytes');
      return make(bytes);
    })();
    for (let turn = 0; turn < 20 && collected.size === 0; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    expect(made).toBeDefined();
    return collected.size > 0;
  }

  it.each<[string, (bytes: Uint8Array) => unknown]>([
    ['transport', (key) => new BenUdpTransport({ key })],
    ['transport with names', (key) => new BenUdpTransport({ keys: { a: key } })],
    ['client', (key) => new BenUdpClient({ key })],
    ['module', (key) => BenUdpModule.forRoot({ key })],
    ['module with names', (key) => BenUdpModule.forRoot({ keys: { a: [key] } })],
    ['board', (key) => VirtualBoard.start({ key, port: 1 }).then((board) => board.close().then(() => board))],
  ])('are not kept alive by a %s', async (_what, make) => {
    expect(await isLetGo(make)).toBe(true);
  });

  it('are not changed', async () => {
    const given = Buffer.from(contents);
    const { transport } = await startApp({ controllers: [Echo] }, { key: given });
    await transport.reloadKeys();
    expect(given).toEqual(contents);
  });
});
