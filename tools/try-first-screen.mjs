/**
 * Follows the first screen of the README: `npm start` in one terminal, `npm run device` in a second, and
 * looks at what both show. On a port and with a key file of its own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from './support/free-port.mjs';
import { mustRun } from './support/run.mjs';

const START_TIMEOUT_MS = 120_000;

/** Words that the terminals must show. */
const SERVER_SHOWS = ['There was no key file, so a new one was made', 'Listening on', 'npm run device', 'mpremote cp'];
const DEVICE_SHOWS = ["-> 'hello from MicroPython'", "'celsius': 21.5", '-> {}'];
const SERVER_LOGS = ["'noreturn': True, 'action': 'dhtsensor'"];

/**
 * `npm start`, running; `until` waits for its words.
 *
 * @param {NodeJS.ProcessEnv} env
 */
function startServer(env) {
  const child = spawn('npm', ['start'], { env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const until = async (/** @type {(output: string) => boolean} */ isThere) => {
    const end = Date.now() + START_TIMEOUT_MS;
    while (!isThere(output) && child.exitCode === null && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return output;
  };
  const stop = async () => {
    // The whole group: npm, the Nest command line, and the server.
    process.kill(-Number(child.pid), 'SIGINT');
    await once(child, 'close');
  };
  return { until, stop };
}

/**
 * @param {string} who
 * @param {string} output
 * @param {string[]} words
 */
function mustShow(who, output, words) {
  const missing = words.filter((each) => !output.includes(each));
  if (missing.length > 0) {
    throw new Error(`${who} does not show ${missing.map((each) => JSON.stringify(each)).join(', ')}:\n${output}`);
  }
}

const folder = await mkdtemp(join(tmpdir(), 'first-screen-'));
const env = {
  ...process.env,
  BEN_HOST: '127.0.0.1',
  BEN_PORT: String(await findFreePort()),
  BEN_KEY_FILE: join(folder, 'key.sec'),
  NO_COLOR: '1',
};
const server = startServer(env);
try {
  mustShow('npm start', await server.until((output) => output.includes('Stop with Ctrl+C')), SERVER_SHOWS);
  const device = await mustRun('npm', ['run', 'device'], { env });
  mustShow('npm run device', device, DEVICE_SHOWS);
  const isLogged = (/** @type {string} */ output) => SERVER_LOGS.every((each) => output.includes(each));
  mustShow('npm start', await server.until(isLogged), SERVER_LOGS);
  console.log(device);
} finally {
  await server.stop();
  await rm(folder, { recursive: true });
}
