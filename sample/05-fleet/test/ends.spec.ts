/** The first process ends at an odd moment: what it has started must not stay behind, and no reading may be lost. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Fleet, hasNats } from './support/fleet.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleet-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

function startFleet(folder: string, env: NodeJS.ProcessEnv = {}): Fleet {
  const fleet = new Fleet(folder, env);
  onTestFinished(async () => {
    await fleet.end();
    fleet.running.forEach((pid) => process.kill(pid, 'SIGKILL'));
  });
  return fleet;
}

/** Uses a port until the end of the test. */
async function takePorts(): Promise<{ udp: string; tcp: string }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  const server = createServer().listen(0, '127.0.0.1');
  await Promise.all([once(socket, 'listening'), once(server, 'listening')]);
  onTestFinished(() => {
    socket.close();
    server.close();
  });
  return { udp: String(socket.address().port), tcp: String((server.address() as AddressInfo).port) };
}

describe.skipIf(!hasNats)('the fleet (needs nats-server)', () => {
  it('ends all that it has started if the edge can not start', async () => {
    const { udp } = await takePorts();
    const fleet = startFleet(await makeFolder(), { BEN_PORT: udp });
    expect(await once(fleet.child, 'exit')).toEqual([1, null]);
    expect(fleet.output).toContain(`127.0.0.1:${udp} is in use`);
    expect(fleet.output).toMatch(/^Edge ended at its start/m);
    expect([fleet.pids.length, fleet.running]).toEqual([3, []]);
  });

  it('starts nothing if another program has the port of NATS', async () => {
    const { tcp } = await takePorts();
    const fleet = startFleet(await makeFolder(), { NATS_PORT: tcp });
    expect(await once(fleet.child, 'exit')).toEqual([1, null]);
    expect(fleet.output).toMatch(new RegExp(`^port ${tcp} is in use.*set NATS_PORT`, 'm'));
    expect(fleet.pids).toEqual([]);
  });

  it('ends what it has started if it is to end during its start', async () => {
    const fleet = startFleet(await makeFolder());
    await fleet.untilPrinted(/^NATS is process/gm);
    expect(await fleet.end('SIGTERM')).toEqual([0, null]);
    expect(fleet.output).toContain('The fleet has ended.');
    expect(fleet.running).toEqual([]);
  });

  it('loses no reading by Ctrl+C, which reaches all processes of the terminal', async () => {
    const folder = await makeFolder();
    const fleet = startFleet(folder);
    const port = await fleet.untilRunning();
    const board = await VirtualBoard.start({ key: await readFile(fleet.keyFile), port, timeout: 8000 });
    onTestFinished(() => board.close());
    const { stored } = (await board.send({ action: 'dhtsensor', data: { number: 0 } })) as { stored: number };
    process.kill(fleet.pidOf('NATS'), 'SIGKILL');
    for (let number = 1; number <= 20; number++) {
      await board.send({ action: 'dhtsensor', data: { number } }, { noreturn: true });
    }
    // The edge holds these readings, and is not connected yet.
    await fleet.untilPrinted(/^NATS is process/gm, 2);
    process.kill(-fleet.child.pid!, 'SIGINT');
    await fleet.untilPrinted(/The fleet has ended/g);
    expect(fleet.running).toEqual([]);

    const next = startFleet(folder);
    const nextPort = await next.untilRunning();
    const again = await VirtualBoard.start({ key: await readFile(next.keyFile), port: nextPort, timeout: 8000 });
    onTestFinished(() => again.close());
    expect(await again.send({ action: 'dhtsensor', data: { number: 21 } })).toEqual({ stored: stored + 21 });
    // A terminal that closes.
    expect(await next.end('SIGHUP')).toEqual([0, null]);
    expect(next.running).toEqual([]);
  });

  it('leaves NATS alone behind if its first process is killed, and the next start says so', async () => {
    const folder = await makeFolder();
    const fleet = startFleet(folder);
    await fleet.untilPrinted(/^Worker \d is process/gm, 2);
    await fleet.end('SIGKILL');
    await expect.poll(() => fleet.running, { timeout: 10_000 }).toEqual([fleet.pidOf('NATS')]);
    const log = await readFile(join(folder, 'data', 'nats.log'), 'utf8');
    const [, port] = /client connections on 127\.0\.0\.1:(\d+)/.exec(log)!;
    const next = startFleet(folder, { NATS_PORT: port });
    expect(await once(next.child, 'exit')).toEqual([1, null]);
    expect(next.output).toContain(`port ${port} is in use`);
  });
});
