/**
 * A mosquitto of its own, which ends with this process.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '../../tools/support/free-port.mjs';
import { HOST } from '../support/wire.mjs';
import { withSbin } from './programs.mjs';

const START_MS = 5000;
const RETRY_MS = 20;

/**
 * @param {{ certFile?: string, keyFile?: string }} options with a certificate, devices use TLS
 * @returns {Promise<{ port: number, plainPort: number, pid: number }>} the port of the devices, and the one of the server behind it
 * @throws Error if mosquitto can't be started
 */
export async function startBroker({ certFile, keyFile }) {
  const plainPort = await findFreePort();
  const port = certFile ? await findFreePort() : plainPort;
  const secured = certFile ? [`listener ${port} ${HOST}`, `certfile ${certFile}`, `keyfile ${keyFile}`] : [];
  const folder = mkdtempSync(join(tmpdir(), 'ben-udp-broker-'));
  const configFile = join(folder, 'mosquitto.conf');
  // As root it would become a user that may not read the certificate. With Nagle's algorithm, a lone device waits 40 ms for each answer.
  const common = ['user root', 'allow_anonymous true', 'set_tcp_nodelay true', 'log_type none'];
  writeFileSync(configFile, [...common, `listener ${plainPort} ${HOST}`, ...secured, ''].join('\n'));
  const broker = spawn('mosquitto', ['-c', configFile], { env: withSbin, stdio: 'ignore' });
  process.on('exit', () => {
    broker.kill();
    rmSync(folder, { recursive: true });
  });
  const failed = once(broker, 'exit').then(([code]) => Promise.reject(new Error(`mosquitto ended with ${code}`)));
  await Promise.race([failed, Promise.all([plainPort, port].map(waitForListener))]);
  failed.catch((error) => {
    console.error(error);
    process.exit(1);
  });
  return { port, plainPort, pid: /** @type {number} */ (broker.pid) };
}

/** @param {number} port */
async function waitForListener(port) {
  for (const end = performance.now() + START_MS; ;) {
    const socket = connect(port, HOST);
    try {
      await once(socket, 'connect');
      socket.destroy();
      return;
    } catch (error) {
      if (performance.now() > end) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
