/** Log lines for rejected datagrams: enough for an operator, few under a flood, and none of their contents. */
import { randomBytes } from 'node:crypto';
import { Logger } from '@nestjs/common';
import { BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { throwError } from 'rxjs';
import { afterAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openId, sealRequest } from '../../lib/exchange/index.js';
import { HELLO, Sealer, formatEnvelope } from '../../lib/protocol/index.js';
import { deriveKey } from '../../lib/keys/index.js';
import { LogRecorder } from '../support/nest-app.js';
import { ScriptedPlatform, type ScriptedSocket, settle } from '../support/scripted-platform.js';

const key = Buffer.alloc(32, 'k');
const SECRET = 'not-for-the-log';
/** Long enough for an envelope, but not an envelope. */
const NO_ENVELOPE = Buffer.from(`{'${SECRET}': '${'x'.repeat(200)}'}`);
const from = (address: string, port = 8585) => ({ address, port });

let logs: LogRecorder;
let platform: ScriptedPlatform;

beforeEach(() => {
  logs = new LogRecorder();
  platform = new ScriptedPlatform();
  Logger.overrideLogger(logs);
});
afterAll(() => Logger.overrideLogger(new Logger()));

async function start(
  options: BenUdpTransportOptions = {},
): Promise<{ socket: ScriptedSocket; server: BenUdpTransport }> {
  const server = new BenUdpTransport({ key, ...options }, platform);
  onTestFinished(() => stop(server));
  await new Promise<void>((resolve, reject) => server.listen((error) => (error ? reject(error as Error) : resolve())));
  logs.lines.length = 0;
  return { server, socket: platform.sockets[0]! };
}

/** Closes, on the clock of the test: a server that has just issued ids waits for their requests. */
async function stop(server: BenUdpTransport): Promise<void> {
  const closed = server.close();
  await platform.advance(2000);
  await closed;
}

/** A request with this text, under an id that the server has just issued. */
async function ask(socket: ScriptedSocket, text: string, contents: Uint8Array = key): Promise<void> {
  const sealer = new Sealer(deriveKey(contents));
  const remote = from('10.0.0.7');
  await socket.receive([HELLO], remote);
  const [ciphertext, iv] = socket.sent.slice(-2) as [Buffer, Buffer];
  await socket.receive([sealRequest(sealer, openId(sealer, { ciphertext, iv }), text)], remote);
}

describe('a rejected datagram', () => {
  it.each([
    ['warn', 'bad-hash', formatEnvelope({ hash: randomBytes(32), data: randomBytes(16), iv: randomBytes(16) })],
    ['debug', 'unknown-datagram', Buffer.from(SECRET)],
    ['debug', 'bad-envelope', NO_ENVELOPE],
    ['debug', 'too-large', Buffer.alloc(5000, SECRET)],
  ])('is logged at level %s: %s', async (level, reason, datagram) => {
    const { socket } = await start();
    await socket.receive([datagram], from('10.0.0.9', 4711));
    expect(logs.lines).toHaveLength(1);
    expect(logs.of(level)[0]).toContain(`Datagram of 10.0.0.9:4711 rejected: ${reason}, `);
  });

  it('is logged with the fault of its text and with its device if a key holder sent it', async () => {
    const { socket } = await start({ keys: { hall: key }, key: [] });
    await ask(socket, `{'${SECRET}': ...}`);
    expect(logs.lines).toEqual([
      expect.stringMatching(/^warn Datagram of hall at 10\.0\.0\.7:8585 rejected: bad-text, .* at position 20 /),
    ]);
  });

  it('is logged with a wrong key at level warn', async () => {
    const { socket } = await start();
    await ask(socket, "{'action': 'echo'}", Buffer.alloc(32, 'w'));
    expect(logs.of('warn')).toEqual([expect.stringContaining('10.0.0.7:8585 rejected: bad-hash, ')]);
  });
});

describe('a flood', () => {
  it('of all kinds at once makes one line of each in 10 s, with counts, and shows none of its contents', async () => {
    const { socket, server } = await start();
    const kinds = [
      Buffer.from(SECRET),
      NO_ENVELOPE,
      Buffer.alloc(5000, SECRET),
      formatEnvelope({ hash: Buffer.alloc(32, SECRET), data: Buffer.alloc(16, SECRET), iv: Buffer.alloc(16) }),
      HELLO,
    ];
    for (let second = 0; second < 20; second++) {
      for (let count = 0; count < 1000; count++) {
        socket.receiveNow(kinds[count % kinds.length]!, from('10.0.0.9', 1 + count));
      }
      await platform.advance(1000);
    }
    await stop(server);
    // bad-hash until the source fails too often, then request-rate.
    const reasons = ['unknown-datagram', 'bad-envelope', 'too-large', 'bad-hash', 'request-rate', 'hello-rate'];
    for (const reason of reasons) {
      const lines = logs.lines.filter((line) => line.includes(`rejected: ${reason},`));
      expect(lines.length, reason).toBeGreaterThanOrEqual(1);
      expect(lines.length, reason).toBeLessThanOrEqual(3);
    }
    expect(logs.lines.some((line) => line.includes('(the last of 1999 within 10 s)'))).toBe(true);
    expect(logs.lines.length).toBeLessThanOrEqual(3 * reasons.length);
    expect(logs.lines.join('\n')).not.toContain(SECRET);
  });

  it('of answers that cannot be sent makes two lines, the second with the count', async () => {
    const { socket, server } = await start();
    socket.sendError = Object.assign(new Error('send ENETUNREACH'), { code: 'ENETUNREACH' });
    for (let count = 1; count <= 30; count++) {
      socket.receiveNow(HELLO, from('10.0.0.9', count));
    }
    await settle();
    await stop(server);
    expect(logs.of('error')).toEqual([
      expect.stringContaining('send ENETUNREACH'),
      expect.stringContaining('(the last of 59 within 10 s)'),
    ]);
  });

  it('from port 0, to which nothing can be sent, reaches no exception path', async () => {
    const { socket, server } = await start();
    const errors: unknown[] = [];
    server.on('error', (error) => errors.push(error));
    for (let count = 0; count < 30; count++) {
      socket.receiveNow(HELLO, from('10.0.0.9', 0));
    }
    expect(server.getStats().rejected['no-way-back']).toBe(30);
    expect(socket.sent).toEqual([]);
    expect(errors).toEqual([]);
    expect(logs.of('error')).toEqual([]);
  });
});

describe('text that a key holder chose', () => {
  const HOSTILE = 'x\u001b[2J\u0085\u202e' + 'y'.repeat(5000);

  it.each([
    [
      'the failure of a handler whose device does not wait',
      (server: BenUdpTransport) =>
        server.addHandler('note', async () => throwError(() => ({ status: 'error', message: HOSTILE }))),
      "{'action': 'note', 'noreturn': True}",
    ],
    [
      'an error of a deserializer',
      (server: BenUdpTransport) =>
        Object.assign(server, {
          deserializer: {
            deserialize() {
              throw new Error(HOSTILE);
            },
          },
        }),
      "{'action': 'note'}",
    ],
    [
      'an error that an exception filter threw',
      (server: BenUdpTransport) => server.addHandler('note', () => Promise.reject(new Error(HOSTILE))),
      "{'action': 'note'}",
    ],
    [
      'an error of toJSON',
      (server: BenUdpTransport) =>
        server.addHandler('note', async () => ({
          toJSON() {
            throw new Error(HOSTILE);
          },
        })),
      "{'action': 'note'}",
    ],
    ['an action that nobody handles', () => undefined, `{'action': ${JSON.stringify(HOSTILE.slice(0, 1000))}}`],
  ])('is escaped and cut in the log: %s', async (_what, prepare, text) => {
    const { server, socket } = await start();
    prepare(server);
    await ask(socket, text.replaceAll('\u0085', '\\x85').replaceAll('\u202e', '\\u202e'));
    const lines = logs.of('error');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('\\u001b[2J\\u0085\\u202e');
    expect(lines[0]!.length).toBeLessThan(2500);
  });
});
