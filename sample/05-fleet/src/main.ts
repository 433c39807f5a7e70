/**
 * A whole fleet on one machine: NATS with JetStream, two workers, an edge.
 *
 *     npm run start:fleet    # from the root of the repository
 *     npm run device         # in a second terminal: a board
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { generateKeyFile } from 'nestjs-ben-udp';
import { Keeper, type KeptProcess } from './keeper.js';
import { BEN_HOST, KEY_FILE } from './settings.js';

// Debian puts servers into sbin, which the PATH of a user often lacks.
process.env['PATH'] = [process.env['PATH'], '/usr/sbin', '/sbin'].join(delimiter);

const dataFolder = resolve(process.env['FLEET_DATA'] || 'data');
const natsPort = Number(process.env['NATS_PORT'] || 4222) || (await listenOnce(0));
const configuration = join(import.meta.dirname, '..', 'deploy', 'nats.conf');
// New for each run, so other programs of this machine can't publish readings that a worker would believe.
const passwords = { edge: makePassword(), worker: makePassword() };
let benPort = process.env['BEN_PORT'] || '8585';

await access(KEY_FILE).catch(async () => {
  console.log(`Made the key file ${KEY_FILE} (fingerprint ${await generateKeyFile(KEY_FILE)}).`);
});

await mkdir(dataFolder, { recursive: true });

/** In the order of their starts. */
const keepers: Keeper[] = [];
let stopping: Promise<void> | undefined;
// A terminal that closes sends SIGHUP.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => void stop());
}
try {
  await requireFree(natsPort);
  await keep({
    name: 'NATS',
    program: 'nats-server',
    args: ['-c', configuration, '-a', '127.0.0.1', '-p', String(natsPort), '-l', join(dataFolder, 'nats.log')],
    env: () => ({ STORE_DIR: dataFolder, EDGE_PASSWORD: passwords.edge, WORKER_PASSWORD: passwords.worker }),
    untilReady: untilOpen,
  });
  await Promise.all([keepNode('Worker 1', 'worker'), keepNode('Worker 2', 'worker')]);
  await keepNode('Edge', 'edge');
  console.log(`The fleet runs: boards on udp ${BEN_HOST} port ${benPort}, key file ${KEY_FILE}. Ctrl+C stops it.`);
} catch (error) {
  if (!stopping) {
    process.exitCode = 1;
    const { code, message } = error as NodeJS.ErrnoException;
    console.error(
      code === 'ENOENT'
        ? 'There is no nats-server on this machine. On Debian and Ubuntu: sudo apt-get install nats-server'
        : `${message}. The log of NATS is in ${dataFolder}`,
    );
  }
  await stop();
}

async function keep(kept: KeptProcess): Promise<void> {
  if (stopping) {
    throw new Error(`${kept.name} is not started, because the fleet ends`);
  }
  const keeper = new Keeper(kept);
  keepers.push(keeper);
  await keeper.start();
}

/** The edge first, so that it can still ask workers and store what it holds, and NATS last. */
function stop(): Promise<void> {
  return (stopping ??= (async () => {
    keepers.forEach((keeper) => keeper.expectEnd());
    for (const keeper of keepers.toReversed()) {
      await keeper.stop();
    }
    console.log('The fleet has ended.');
  })());
}

function keepNode(name: string, folder: 'worker' | 'edge'): Promise<void> {
  return keep({
    name,
    program: process.execPath,
    args: [join(import.meta.dirname, folder, 'main.js')],
    env: () => ({ NATS_URL: `nats://${folder}:${passwords[folder]}@127.0.0.1:${natsPort}`, BEN_PORT: benPort }),
    untilReady: async (child: ChildProcess) => {
      const [{ port }] = (await once(child, 'message')) as [{ readonly port?: number }];
      // The edge keeps its port when it is started again.
      benPort = port === undefined ? benPort : String(port);
    },
  });
}

async function untilOpen(nats: ChildProcess): Promise<void> {
  while (nats.exitCode === null && nats.signalCode === null) {
    const socket = connect(natsPort, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) {
      return;
    }
    await pause(20);
  }
}

/** NATS would read a word that begins with a digit as a number. */
function makePassword(): string {
  return `p${randomBytes(24).toString('hex')}`;
}

/** A NATS of another run would refuse the passwords of this one. It is still there if the first process of that run was killed. */
async function requireFree(port: number): Promise<void> {
  await listenOnce(port).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EADDRINUSE'
      ? new Error(`port ${port} is in use, perhaps by NATS of an earlier run. Stop that one, or set NATS_PORT`)
      : error;
  });
}

/** @returns the port, any free one for 0. */
async function listenOnce(port: number): Promise<number> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: bound } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return bound;
}
