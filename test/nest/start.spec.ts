/** Log lines at the start of a transport: forgotten starts, names of handlers, ports in use. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { type BenUdpDeviceKey, BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { afterAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { REMIND_AFTER_MS } from '../../lib/nest/listen-reminder.js';
import { LogRecorder } from '../support/nest-app.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

const key = Buffer.alloc(32, 'k');
/** A new handler each time, because Nest marks handlers. */
const handler = () => () => Promise.resolve(1);
const inUse = Object.assign(new Error('bind EADDRINUSE'), { code: 'EADDRINUSE', syscall: 'bind' });

/** A line as the logger writes it, with its context. */
const line = (text: string) => `${text} BenUdpTransport`;

let logs: LogRecorder;
let platform: ScriptedPlatform;

beforeEach(() => {
  logs = new LogRecorder();
  platform = new ScriptedPlatform();
  Logger.overrideLogger(logs);
});
afterAll(() => Logger.overrideLogger(new Logger()));

function create(options: BenUdpTransportOptions = {}): BenUdpTransport {
  const transport = new BenUdpTransport({ key, ...options }, platform);
  onTestFinished(async () => {
    const closed = transport.close();
    // On the clock of the test, it awaits requests for the ids that it has just issued.
    await platform.advance(2000);
    await closed;
  });
  return transport;
}

/** Begins to listen; the calls of the callback so far. */
function listen(transport: BenUdpTransport): unknown[][] {
  const calls: unknown[][] = [];
  transport.listen((...args: unknown[]) => calls.push(args));
  return calls;
}

describe('a transport that does not listen', () => {
  it('warns once, 10 s after its first handler was added', async () => {
    const transport = create();
    transport.addHandler('echo', handler());
    await platform.advance(REMIND_AFTER_MS - 1);
    expect(logs.lines).toEqual([]);
    transport.addHandler('other', handler());
    await platform.advance(1);
    expect(logs.of('warn')).toEqual([expect.stringContaining('call "await app.startAllMicroservices()"')]);
    transport.addHandler('third', handler());
    await platform.advance(10 * REMIND_AFTER_MS);
    expect(logs.lines).toHaveLength(1);
  });

  it.each([
    ['it listens', (transport: BenUdpTransport) => void listen(transport)],
    ['it is closed', (transport: BenUdpTransport) => void transport.close()],
  ])('logs nothing if %s in time', async (_what, act) => {
    const transport = create();
    transport.addHandler('echo', handler());
    act(transport);
    await platform.advance(REMIND_AFTER_MS);
    expect(logs.of('warn')).toEqual([]);
    expect(platform.pendingTimers).toBe(platform.openSockets.length);
  });

  it('logs nothing if it was closed before its first handler was added', async () => {
    const transport = create();
    await transport.close();
    transport.addHandler('echo', handler());
    await platform.advance(REMIND_AFTER_MS);
    expect(logs.lines).toEqual([]);
  });
});

describe('the log at the start', () => {
  it('names key files that are left out', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'kitchen.sec'), key, { mode: 0o600 });
    await writeFile(join(folder, 'damaged.sec'), 'short', { mode: 0o600 });
    const calls = listen(create({ key: undefined, keyDirectory: folder }));
    await expect.poll(() => calls).toEqual([[]]);
    expect(logs.of('error')).toEqual([expect.stringMatching(/Key files are left out.*damaged\.sec/)]);
    expect(logs.of('log').join()).toContain('kitchen');
  });

  it.skipIf(process.platform === 'win32')('lets the name of a key file begin no line of its own', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'kitchen.sec'), key, { mode: 0o600 });
    await writeFile(join(folder, 'a\n[Nest].sec'), 'short', { mode: 0o600 });
    const calls = listen(create({ key: undefined, keyDirectory: folder }));
    await expect.poll(() => calls).toEqual([[]]);
    expect(logs.of('error')).toEqual([expect.stringContaining(String.raw`a\n[Nest].sec`)]);
  });

  it('names the handlers, and marks events', async () => {
    const transport = create();
    transport.addHandler('echo', handler());
    transport.addHandler({ cmd: 'led' }, handler());
    transport.addHandler('dhtsensor', handler(), true);
    transport.addHandler('both', handler());
    transport.addHandler('both', handler(), true);
    listen(transport);
    await settle();
    expect(logs.of('log')).toContain(
      line('log Handles "echo", "{\\"cmd\\":\\"led\\"}", "dhtsensor" (event), "both", "both" (event)'),
    );
    expect(logs.of('warn')).toEqual([]);
  });

  it('names the first ten handlers, and counts the others', async () => {
    const transport = create();
    Array.from({ length: 13 }, (_, index) => transport.addHandler(`h${index}`, handler()));
    listen(transport);
    await settle();
    expect(logs.of('log').join()).toMatch(/Handles "h0", .*"h9" and 3 more/);
  });

  it('reports that there is no handler', async () => {
    listen(create());
    await settle();
    expect(logs.of('log')).toContain(line('log Handles nothing: no handler is registered'));
  });

  it('warns of a pattern that two message handlers have, and of no other', async () => {
    const transport = create();
    transport.addHandler('dup', handler());
    transport.addHandler('dup', handler());
    transport.addHandler('event', handler(), true);
    transport.addHandler('event', handler(), true);
    listen(transport);
    await settle();
    expect(logs.of('warn')).toEqual([
      line('warn Several handlers have the same pattern, and only the last answers: "dup"'),
    ]);
  });
});

describe('a port that is in use', () => {
  it('is tried again, 5 times by default and 200 ms apart, with a line for each', async () => {
    platform.bindError = inUse;
    const transport = create({ port: 8585 });
    const calls = listen(transport);
    await settle();
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect(logs.of('warn')).toHaveLength(attempt);
      expect(logs.of('warn').at(-1)).toBe(
        line(`warn 0.0.0.0:8585 is in use; trying again in 200 ms (${attempt} of 5)`),
      );
      await platform.advance(199);
      expect(platform.bound).toHaveLength(attempt);
      await platform.advance(1);
    }
    expect(platform.bound).toHaveLength(6);
    expect(calls).toEqual([[expect.objectContaining({ code: 'BEN_ADDRESS_IN_USE', cause: inUse })]]);
    expect(logs.of('warn')).toHaveLength(5);
    expect(platform.pendingTimers).toBe(0);
  });

  it('is taken as soon as it is free', async () => {
    platform.bindError = inUse;
    const calls = listen(create({ retryAttempts: 3, retryDelay: 50 }));
    await settle();
    platform.bindError = undefined;
    await platform.advance(50);
    expect(calls).toEqual([[]]);
    expect(logs.of('warn')).toHaveLength(1);
  });

  it.each([
    ['with retryAttempts: 0', inUse, { retryAttempts: 0 }],
    ['for any other error', Object.assign(new Error('bind EACCES'), { code: 'EACCES' }), {}],
  ])('is not tried again %s', async (_what, error, options) => {
    platform.bindError = error;
    const calls = listen(create(options));
    await settle();
    expect(calls).toHaveLength(1);
    expect(platform.bound).toHaveLength(1);
    expect(logs.of('warn')).toEqual([]);
  });

  it('is given up when the transport is closed', async () => {
    platform.bindError = inUse;
    const transport = create();
    const calls = listen(transport);
    await settle();
    await transport.close();
    expect(calls).toEqual([[expect.objectContaining({ code: 'BEN_CLOSED' })]]);
    expect(platform.pendingTimers).toBe(0);
    expect(platform.bound).toHaveLength(1);
  });
});

describe('a key provider that does not answer', () => {
  it('does not keep the transport from closing, nor from listening again', async () => {
    const answers: Array<(keys: BenUdpDeviceKey[]) => void> = [];
    const keyProvider = () => new Promise<BenUdpDeviceKey[]>((resolve) => answers.push(resolve));
    const transport = create({ key: undefined, keyProvider, watchKeyFiles: true });
    const calls = listen(transport);
    await settle();
    await transport.close();
    expect(calls).toEqual([[expect.objectContaining({ code: 'BEN_CLOSED' })]]);
    const again = listen(transport);
    await settle();
    answers[1]!([{ device: 'second', key }]);
    await settle();
    // The first answer comes too late, and changes nothing.
    answers[0]!([{ device: 'first', key }]);
    await settle();
    expect([again, transport.getDevices().map(({ name }) => name)]).toEqual([[[]], ['second']]);
  });

  it('does not hold up the reloads after the transport has been closed', async () => {
    let isSilent = false;
    let device = 'first';
    const keyProvider = () => (isSilent ? new Promise<BenUdpDeviceKey[]>(() => undefined) : [{ device, key }]);
    const transport = create({ key: undefined, keyProvider });
    listen(transport);
    await settle();
    isSilent = true;
    void transport.reloadKeys();
    await settle();
    await transport.close();
    isSilent = false;
    listen(transport);
    await settle();
    device = 'second';
    void transport.reloadKeys();
    await settle();
    expect(transport.getDevices().map(({ name }) => name)).toEqual(['second']);
  });
});

describe('a datagram that the system refuses to send', () => {
  it('is counted and logged, but is not an error event, because a stranger can cause it', async () => {
    const transport = create();
    const errors: Error[] = [];
    transport.on('error', (error) => errors.push(error));
    listen(transport);
    await settle();
    const [socket] = platform.sockets;
    socket!.sendError = Object.assign(new Error('send ENETUNREACH'), { code: 'ENETUNREACH' });
    await socket!.receive([Buffer.from('/GETID')], { address: '198.51.100.7', port: 8585 });
    expect(errors).toEqual([]);
    // Both datagrams of the pair.
    expect(transport.getStats().sendErrors).toBe(2);
    expect(logs.of('error')).toEqual([expect.stringContaining('send ENETUNREACH')]);
  });
});
