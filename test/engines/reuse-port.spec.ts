/**
 * Several processes on one port, as a rolling restart needs them: the system gives a board to another process whenever the group
 * changes, and only an exchange between its hello and its request may fail then.
 */
import { describe, expect, it } from 'vitest';
import { supportsReusePort } from '../../lib/net/index.js';
import { usePrograms, type Program } from './support/processes.js';
import { Load } from './support/load.js';

/** Processes on the port. CI tries the smaller group. */
const PROCESSES = process.env['BEN_ENGINES_SHORT'] ? [2] : [2, 4];

const BOARDS = 200;
const PER_SECOND = 200;
/** The longest time to leave the port. */
const LEAVE_MS = 1000;

/** Of exchanges in a rolling restart. */
const MAX_FAILED = 0.005;

/**
 * A change of the group costs the exchanges that are between hello and request at that moment. If other programs keep the machine busy,
 * an exchange takes ten times as long, and ten times as many are.
 */
const BUSY_MEDIAN_MS = 10;
const MAX_FAILED_IF_BUSY = 0.02;

/** Tells of each request that it executes. Ends on SIGTERM, and tells when it has left the port. */
const SERVER = `
import { setTimeout as pause } from 'node:timers/promises';
import { BenUdpTransport } from './lib/index.js';
import { Logger } from '@nestjs/common';
Logger.overrideLogger(false);
const transport = new BenUdpTransport({
  host: '0.0.0.0', port: Number(process.env.PORT ?? 0), key: Buffer.alloc(32, 'k'), reusePort: true,
});
transport.addHandler('echo', async (data) => {
  process.send({ executed: data });
  return data;
});
transport.addHandler('slow', async (data) => {
  process.send({ executed: data });
  await pause(300);
  return data;
});
transport.addHandler('note', async (data) => void process.send({ executed: data }), true);
transport.listen((error) =>
  process.send(error ? { error: error.code } : { listening: transport.unwrap().address().port }),
);
process.on('message', async ({ ask }) => {
  if (ask === 'stats') process.send({ stats: transport.getStats(), cpuMs: process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000 });
  if (ask === 'ping') process.send({ ping: await transport.ping().catch((error) => error.code) });
});
process.on('SIGTERM', async () => {
  const startedAt = performance.now();
  transport.unwrap().once('close', () => process.send({ leftMs: performance.now() - startedAt }));
  await transport.close();
  process.disconnect();
});
`;

const start = usePrograms();

async function startServer(port: number, load?: Load): Promise<Program> {
  const server = await start('server', SERVER, { PORT: String(port) });
  server.child.on('message', (message: { executed?: string }) => {
    if (message.executed !== undefined) {
      load?.note(message.executed);
    }
  });
  return server;
}

async function startGroup(count: number): Promise<{ port: number; servers: Program[] }> {
  const first = await startServer(0);
  const port = (await first.expect('listening'))['listening'] as number;
  const others = await Promise.all(Array.from({ length: count - 1 }, () => startServer(port)));
  await Promise.all(others.map((server) => server.expect('listening')));
  return { port, servers: [first, ...others] };
}

/** Mostly fast requests, some whose replies are owed for a while, and some events. */
const mixed = (number: number) =>
  number % 10 === 0 ? { action: 'note', noreturn: true } : { action: number % 4 === 1 ? 'slow' : 'echo' };

const isSupported = supportsReusePort(process.versions.node, process.platform);

describe.skipIf(isSupported)('reusePort on a system without it (runs on Node 20)', () => {
  it('fails with a coded error, because Node ignores the flag', async () => {
    const server = await startServer(0);
    expect(await server.expect('error')).toEqual({ error: 'BEN_REUSE_PORT_UNSUPPORTED' });
  });
});

describe.runIf(isSupported)('reusePort (runs on Node 22.12 and later on Linux)', () => {
  it.each(PROCESSES)('a rolling restart of %i processes fails at most one in 200 exchanges', async (count) => {
    const { port, servers } = await startGroup(count);
    const load = await Load.start(BOARDS, { port });
    servers.forEach((server) =>
      server.child.on(
        'message',
        ({ executed }: { executed?: string }) => executed !== undefined && load.note(executed),
      ),
    );
    const left: number[] = [];
    const fresh: Program[] = [];
    await load.during(PER_SECOND, mixed, async () => {
      for (const old of servers) {
        const server = await startServer(port, load);
        await server.expect('listening');
        fresh.push(server);
        const leaving = old.expect('leftMs');
        await old.end();
        left.push((await leaving)['leftMs'] as number);
      }
    });
    const median = load.latencies.toSorted((a, b) => a - b)[load.latencies.length >> 1]!;
    console.log(
      `${count} processes: ${load.begun} exchanges, ${load.failed} failed, ${load.twice.length} twice, ` +
        `median ${median.toFixed(1)} ms, left within ${Math.max(...left).toFixed(0)} ms`,
      load.failures.slice(0, 5),
    );
    expect(load.begun).toBeGreaterThan(PER_SECOND);
    expect(load.failed / load.begun).toBeLessThanOrEqual(median < BUSY_MEDIAN_MS ? MAX_FAILED : MAX_FAILED_IF_BUSY);
    expect(load.wrong).toBe(0);
    expect(load.twice).toEqual([]);
    expect(Math.max(...left)).toBeLessThan(LEAVE_MS);
    const failedBefore = load.failed;
    await load.oneOfEach('echo');
    expect(load.failed - failedBefore).toBe(0);
  });

  it('a board that was given to another process is heard at once, also after a crash', async () => {
    const { port, servers } = await startGroup(2);
    const load = await Load.start(50, { port, timeout: 500 });
    await load.oneOfEach('echo');
    await servers[0]!.end('SIGKILL');
    await load.oneOfEach('echo');
    expect(load).toMatchObject({ answered: 100, failed: 0, wrong: 0 });
  });

  it('sends the replies that it owes after it has left the port', async () => {
    const { port, servers } = await startGroup(1);
    const load = await Load.start(40, { port });
    const exchanges = load.oneOfEach('slow');
    await servers[0]!.expect('executed');
    await servers[0]!.end();
    // Boards whose turn came later find nobody.
    await exchanges;
    expect(load.answered).toBeGreaterThanOrEqual(8);
    expect(load.wrong).toBe(0);
  });

  it('ping reaches its own process', async () => {
    const { servers } = await startGroup(4);
    for (const server of servers) {
      server.send({ ask: 'ping' });
      expect((await server.expect('ping'))['ping']).toBeGreaterThan(0);
    }
    for (const server of servers) {
      server.send({ ask: 'stats' });
      const { stats } = await server.expect('stats');
      // Hellos of others that tried a source port, and one request: its own.
      expect(stats).toMatchObject({ requests: 1, outcomes: { answered: 1 }, rejected: { 'bad-hash': 0 } });
    }
  });

  it('tells that a port is taken by a process without the option', async () => {
    const { BenUdpTransport } = await import('nestjs-ben-udp');
    const transport = new BenUdpTransport({ host: '0.0.0.0', port: 0, key: Buffer.alloc(32, 'k') });
    await new Promise<void>((resolve) => transport.listen(() => resolve()));
    const server = await startServer(transport.unwrap().address().port);
    expect(await server.expect('error')).toEqual({ error: 'BEN_ADDRESS_IN_USE' });
    await transport.close();
  });
});
