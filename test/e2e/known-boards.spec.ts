/** Known boards outlive a restart: the key of a board is tried first, and its requests must verify as before. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { BenUdpClient, type BenUdpError, type BenUdpKnownBoard, BenUdpTransport } from 'nestjs-ben-udp';
import { firstValueFrom } from 'rxjs';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { RingKey } from '../../lib/keys/index.js';
import { KEY_CONTENTS, startApp } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(@Payload() data: unknown) {
    return data;
  }
}

/** The board has the last of many keys. */
const keys = {
  ...Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => [`board-${index}`, Buffer.alloc(32, `key ${index};`)]),
  ),
  kitchen: KEY_CONTENTS,
};
const app = { controllers: [Echo] };

/** The keys that are tried until the board has its answer. */
async function keysTried(exchange: () => Promise<unknown>): Promise<number> {
  const tried = vi.spyOn(RingKey.prototype, 'openBlock');
  await exchange();
  return tried.mock.calls.length;
}

afterEach(() => vi.restoreAllMocks());

describe('knownBoardsFile', () => {
  it('saves a board at close, and the next start tries its key first', async () => {
    const folder = await temporaryFolder();
    const knownBoardsFile = join(folder, 'known-boards');
    const first = await startApp(app, { key: undefined, keys, knownBoardsFile });
    const board = await first.board();
    expect(await keysTried(() => board.send({ action: 'echo', data: 1 }))).toBeGreaterThan(500);
    await first.app.close();
    const [file] = await readdir(folder);
    const text = await readFile(join(folder, file!), 'utf8');
    expect(text).toMatch(/^nestjs-ben-udp known boards 1\n127\.0\.0\.1 \d+ [0-9a-f]{16} \d+\n$/);
    const second = await startApp(app, { key: undefined, keys, knownBoardsFile });
    const rebooted = await second.board();
    vi.restoreAllMocks();
    expect(await keysTried(() => rebooted.send({ action: 'echo', data: 2 }))).toBeLessThan(5);
    expect(second.logs.of('warn')).toEqual([]);
  });

  it('saves a board of protocol v2 too', async () => {
    const folder = await temporaryFolder();
    const first = await startApp(app, { knownBoardsFile: join(folder, 'known-boards') });
    const client = new BenUdpClient({ host: '127.0.0.1', port: first.port, key: KEY_CONTENTS, protocol: 'v2' });
    onTestFinished(() => client.close());
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    await first.app.close();
    const [file] = await readdir(folder);
    const text = await readFile(join(folder, file!), 'utf8');
    expect(text.split('\n').slice(1, -1)).toEqual([expect.stringMatching(/^127\.0\.0\.1 \d+ [0-9a-f]{16} \d+$/)]);
  });

  it('that is damaged is a warning, and the server starts', async () => {
    const knownBoardsFile = join(await temporaryFolder(), 'known-boards');
    await writeFile(knownBoardsFile, 'not one of ours\n');
    const { board, logs } = await startApp(app, { knownBoardsFile });
    expect(await (await board()).send({ action: 'echo', data: 1 })).toEqual(1);
    expect(logs.of('warn')).toEqual([expect.stringContaining("can't be used: it is not a list of known boards")]);
  });
});

describe('knownBoards', () => {
  it('may be any store', async () => {
    const saved: BenUdpKnownBoard[] = [];
    const store = {
      load: async () => saved,
      save: async (boards: Iterable<BenUdpKnownBoard>) => void saved.push(...boards),
    };
    const first = await startApp(app, { knownBoards: store });
    await (await first.board()).send({ action: 'echo', data: 1 });
    await first.app.close();
    expect(saved).toMatchObject([{ address: '127.0.0.1', fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) }]);
  });

  it('may be slow: keys that are replaced meanwhile are void from the start', async () => {
    const [removed, added] = [Buffer.alloc(32, 'removed'), Buffer.alloc(32, 'added')];
    const transport = new BenUdpTransport({
      host: '127.0.0.1',
      port: 0,
      keys: { kitchen: removed },
      knownBoards: {
        load: async () => {
          await transport.reloadKeys({ keys: { kitchen: added } });
          return [];
        },
        save: async () => undefined,
      },
    });
    transport.addHandler('echo', async (data) => data);
    onTestFinished(() => transport.close());
    await new Promise<void>((resolve, reject) =>
      transport.listen((error) => (error === undefined ? resolve() : reject(error as Error))),
    );
    const { port } = transport.unwrap().address();
    const ask = async (key: Buffer, protocol: 'v1' | 'v2', timeout: number) => {
      const client = new BenUdpClient({ host: '127.0.0.1', port, key, protocol, timeout });
      onTestFinished(() => client.close());
      return firstValueFrom(client.send('echo', 1)).catch(({ code }: BenUdpError) => code);
    };
    expect(await ask(added, 'v1', 5000)).toBe(1);
    expect(await ask(removed, 'v1', 300)).toBe('BEN_TIMEOUT');
    expect(await ask(removed, 'v2', 300)).toBe('BEN_TIMEOUT');
  });

  it('that fails is a warning, at the start and at the end', async () => {
    const store = {
      load: () => Promise.reject(new Error('no connection')),
      save: () => Promise.reject(new Error('no')),
    };
    const { app: server, logs } = await startApp(app, { knownBoards: store });
    await server.close();
    expect(logs.of('warn').join()).toContain('Known boards could not be loaded: no connection');
  });
});
