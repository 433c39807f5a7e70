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
import { deriveKey } from '../../lib/keys/index.js';
import { startApp } from '../support/nest-app.js';

// Printing everything that a transport holds is slow on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const contents = randomBytes(32);
const derived = deriveKey(contents);

/** All print-outs of a value that a person, a logger or a debugger may make. */
function printOuts(value: unknown): string[] {
  const everything = { depth: Infinity, showHidden: true, getters: true, maxArrayLength: null, maxStringLength: null };
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

/** The traces of secrets that a print-out of a value shows. */
function findTraces(value: unknown, ...secrets: Uint8Array[]): string[] {
  const texts = printOuts(value);
  return secrets.flatMap(traces).filter((trace) => texts.some((text) => text.includes(trace)));
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
