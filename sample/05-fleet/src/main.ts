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
import { Keeper } from './keeper.js';
import { BEN_HOST, KEY_FILE } from './settings.js';

// Debian puts servers into sbin, which the PATH of a user often lacks.
process.env['PATH'] = [process.env['PATH'], '/usr/sbin', '/sbin'].join(delimiter);

const dataFolder = resolve(process.env['FLEET_DATA'] || 'data');
const natsPort = Number(process.env['NATS_PORT'] || 4222) || (await freePort());
const configuration = join(import.meta.dirname, '..', 'deploy', 'nats.conf');
// New for each run, so other programs of this machine can't publish readings that a worker would believe.
const passwords = { edge: makePassword(), worker: makePassword() };
let benPort = process.env['BEN_PORT'] || '8585';

await access(KEY_FILE).catch(async () => {
  console.log(`Made the key file ${KEY_FILE} (fingerprint ${await generateKeyFile(KEY_FILE)}).`);
});

await mkdir(dataFolder, { recursive: true });

const keepers: Keeper[] = [];
try {
  keepers.push(
    await Keeper.start({
      name: 'NATS',
      program: 'nats-server',
      args: ['-c', configuration, '-a', '127.0.0.1', '-p', String(natsPort), '-l', join(dataFolder, 'nats.log')],
      env: () => ({ STORE_DIR: dataFolder, EDGE_PASSWORD: passwords.edge, WORKER_PASSWORD: passwords.worker }),
      untilReady: untilOpen,
    }),
    ...(await Promise.all([startNode('Worker 1', 'worker'), startNode('Worker 2', 'worker')])),
    await startNode('Edge', 'edge'),
  );
} catch (error) {
  await stop();
  const { code, message } = error as NodeJS.ErrnoException;
  console.error(
    code === 'ENOENT'
      ? 'There is no nats-server on this machine. On Debian and Ubuntu: sudo apt-get install nats-server'
      : `${message}. The log of NATS is in ${dataFolder}`,
  );
  process.exit(1);
}
console.log(`The fleet runs: boards on udp ${BEN_HOST} port ${benPort}, key file ${KEY_FILE}. Ctrl+C stops it.`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stop().then(() => console.log('The fleet has ended.')));
}

/** The edge first, so that it can still ask workers, and NATS last. */
async function stop(): Promise<void> {
  keepers.forEach((keeper) => keeper.expectEnd());
  for (const keeper of keepers.splice(0).toReversed()) {
    await keeper.stop();
  }
}

function startNode(name: string, folder: 'worker' | 'edge'): Promise<Keeper> {
  return Keeper.start({
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

async function untilOpen(): Promise<void> {
  for (;;) {
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
