import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileLib } from './support/compiled-lib.js';

const TIMEOUT_MS = 60_000;
const KEY = 'the contents of a key file, secret';
const PAYLOAD = 'a secret payload';

/** One exchange, one datagram of noise, and one datagram that a client ignores. Node reads NODE_DEBUG only when a process starts. */
const SCRIPT = `
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Logger } from '@nestjs/common';
import { firstValueFrom } from 'rxjs';
import { BenUdpClient, BenUdpTransport } from './lib/index.js';
import { VirtualBoard } from './lib/testing/index.js';

Logger.overrideLogger(false);
const key = Buffer.from(${JSON.stringify(KEY)});
const transport = new BenUdpTransport({ host: '127.0.0.1', port: 0, keys: { greenhouse: key } });
transport.addHandler('echo', async (data) => data);
await new Promise((resolve, reject) => transport.listen((error) => (error ? reject(error) : resolve())));
const { port } = transport.unwrap().address();
const board = await VirtualBoard.start({ key, port });
await board.send({ action: 'echo', data: ${JSON.stringify(PAYLOAD)} });
const rejected = new Promise((resolve) => transport.on('rejected', resolve));
await board.sendDatagram(Buffer.from(${JSON.stringify(PAYLOAD)}));
await rejected;
await board.close();
await transport.close();

const noise = createSocket('udp4', (datagram, { port, address }) => noise.send('noise', port, address));
noise.bind(0, '127.0.0.1');
await once(noise, 'listening');
const client = new BenUdpClient({ key, port: noise.address().port, timeout: 1000 });
const ignored = new Promise((resolve) => client.on('ignored', resolve));
const failed = firstValueFrom(client.send('echo', 'x')).catch(() => undefined);
await ignored;
await client.close();
await failed;
noise.close();
`;

describe('NODE_DEBUG=ben-udp', () => {
  let folder: string;
  let script: string;
  beforeAll(async () => {
    folder = await compileLib();
    script = join(folder, 'script.js');
    await writeFile(script, SCRIPT);
  }, TIMEOUT_MS);
  afterAll(() => rm(folder, { recursive: true }));

  async function run(debug: string): Promise<string[]> {
    const { stderr } = await promisify(execFile)(process.execPath, [script], {
      cwd: folder,
      env: { ...process.env, NODE_DEBUG: debug },
    });
    return stderr.split('\n').filter((line) => line !== '');
  }

  it(
    'prints the decision on each datagram with its endpoint and reason, and no key or payload',
    async () => {
      const lines = await run('ben-udp');
      const decisions = lines.map((line) =>
        line.replace(/^BEN-UDP \d+: /, '').replaceAll(/127\.0\.0\.1:\d+/g, 'endpoint'),
      );
      expect(decisions).toEqual([
        'endpoint: hello answered with a pair',
        'endpoint: request accepted from greenhouse',
        'endpoint: request ended: answered',
        'endpoint: rejected: unknown-datagram, neither a hello nor the beginning of a request',
        expect.stringMatching(/^client: endpoint: ignored: [\w-]+, ./),
      ]);
      expect(lines.join('\n')).not.toContain(KEY);
      expect(lines.join('\n')).not.toContain(PAYLOAD);
    },
    TIMEOUT_MS,
  );

  it(
    'is off by default',
    async () => {
      expect(await run('')).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
