/** The stream of readings on a real NATS, with the users of `deploy/nats.conf`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { AckPolicy, jetstream } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { STREAM, SUBJECT, openStream } from '../src/readings/readings.js';

const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
const nats = FOLDERS.map((folder) => join(folder, 'nats-server')).find((path) => existsSync(path));

const PASSWORDS = { edge: 'edge-password', worker: 'worker-password' };

async function startNats(): Promise<(user: 'edge' | 'worker') => Promise<NatsConnection>> {
  const folder = await mkdtemp(join(tmpdir(), 'fleet-nats-'));
  const configuration = join(import.meta.dirname, '..', 'deploy', 'nats.conf');
  const child: ChildProcess = spawn(nats!, ['-c', configuration, '-a', '127.0.0.1', '-p', '-1'], {
    env: { ...process.env, STORE_DIR: folder, EDGE_PASSWORD: PASSWORDS.edge, WORKER_PASSWORD: PASSWORDS.worker },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  onTestFinished(async () => {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    await rm(folder, { recursive: true });
  });
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await expect.poll(() => log, { timeout: 20_000 }).toContain('Server is ready');
  const port = Number(/client connections on 127\.0\.0\.1:(\d+)/.exec(log)![1]);
  return async (user) => {
    const connection = await connect({ servers: `127.0.0.1:${port}`, user, pass: PASSWORDS[user] });
    onTestFinished(() => connection.close());
    return connection;
  };
}

describe.skipIf(nats === undefined)('the stream of readings (needs nats-server)', () => {
  it('refuses a reading if it is full, keeps all that it acknowledged, and has room again behind a worker', async () => {
    const connectAs = await startNats();
    const edge = await connectAs('edge');
    const worker = await connectAs('worker');
    await openStream(edge, 4096);
    const manager = await openStream(worker, 4096);
    await manager.consumers.add(STREAM, { durable_name: 'workers', ack_policy: AckPolicy.Explicit });
    const publish = (data: number) => jetstream(edge).publish(SUBJECT, JSON.stringify({ data, text: 'x'.repeat(500) }));
    let stored = 0;
    await expect(
      (async () => {
        for (; stored < 20; stored++) {
          await publish(stored);
        }
      })(),
    ).rejects.toThrow(/maximum bytes exceeded/);
    expect(stored).toBeGreaterThan(2);

    const consumer = await jetstream(worker).consumers.get(STREAM, 'workers');
    const read: number[] = [];
    for await (const message of await consumer.fetch({ max_messages: stored, expires: 5000 })) {
      read.push(message.json<{ data: number }>().data);
      await message.ackAck();
    }
    expect(read).toEqual(Array.from({ length: stored }, (_, number) => number));
    await publish(stored);
  });

  it('does not let a worker publish under ben., or have JetStream do it', async () => {
    const connectAs = await startNats();
    const worker = await connectAs('worker');
    const manager = await openStream(worker);
    const forger = { name: 'forger', subjects: ['_INBOX.forged'], republish: { src: '>', dest: 'ben.echo' } };
    await expect(manager.streams.add(forger)).rejects.toThrow(/[Pp]ermission/);
    const consumer = { durable_name: 'forger', deliver_subject: 'ben.echo', ack_policy: AckPolicy.None };
    await expect(manager.consumers.add(STREAM, consumer)).rejects.toThrow(/[Pp]ermission/);
    await expect(worker.request('ben.echo', '', { timeout: 1000 })).rejects.toThrow(/[Pp]ermission/);
  });
});
