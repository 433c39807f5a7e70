/**
 * The transcripts in docs/command-line.md, from real runs of the built program: each block under `<!-- transcript: NAME -->` is what
 * its commands printed, errors included.
 *
 *     node tools/transcripts.mjs            runs them and writes the changes
 *     node tools/transcripts.mjs --check    runs them and fails if the page differs
 *
 * What differs from run to run (keys, times, ports, this machine's addresses) does not count as a change.
 * `--program FILE` is the program to run instead of dist/esm/cli/main.js.
 */
import { spawn } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces, tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './support/pack.mjs';

const PAGE = join(root, 'docs', 'command-line.md');

/** The port that the page shows; the one that is used is any free one. */
const SHOWN_PORT = '8585';

/** Messages name absolute paths; a reader has another folder. */
const SHOWN_FOLDER = '/home/you/boards';

/**
 * The commands of each block, in this order, in one folder. `listen` runs in the background from `start` to `stop`, and its block is
 * complete then.
 */
const SESSION = [
  {
    block: 'usage',
    run: ['nestjs-ben-udp sned', 'nestjs-ben-udp send 192.168.1.10 --tiemout 5s', 'nestjs-ben-udp send 192.168.1.10'],
  },
  { block: 'keygen', run: ['nestjs-ben-udp keygen key.sec', 'nestjs-ben-udp keygen key.sec'] },
  { block: 'keygen-literal', run: ['nestjs-ben-udp keygen sensor.sec --c > ben_key.h', 'cat ben_key.h'] },
  { block: 'provision-dry-run', run: ['nestjs-ben-udp provision kitchen --host 192.168.1.10 --dry-run'] },
  { block: 'provision', run: ['nestjs-ben-udp provision kitchen --host 192.168.1.10'] },
  { block: 'doctor', run: ['nestjs-ben-udp doctor --port PORT'] },
  { block: 'listen', start: 'nestjs-ben-udp listen --port PORT' },
  {
    block: 'send',
    run: [
      `nestjs-ben-udp send 127.0.0.1:PORT echo '"hello"'`,
      `nestjs-ben-udp send 127.0.0.1:PORT echo '{"celsius": 21.5}' --json`,
      `nestjs-ben-udp send 127.0.0.1:PORT dhtsensor '{"temperature": 30, "humidity": 50}' --noreturn`,
      'nestjs-ben-udp send 127.0.0.1:PORT echo -3.59 --timeout 5s',
      'nestjs-ben-udp send 127.0.0.1:PORT echo 1 --count 3 --latency',
    ],
  },
  {
    block: 'send-other-key',
    run: ['nestjs-ben-udp send 127.0.0.1:PORT echo 1 --timeout 500ms --key-file sensor.sec'],
  },
  { block: 'doctor-wrong', run: ['nestjs-ben-udp doctor --port PORT --key-file board.sec'] },
  { block: 'listen', stop: true },
  { block: 'fleet', needsServer: true, run: ['nestjs-ben-udp fleet 100 127.0.0.1:PORT --duration 3s'] },
  { block: 'send-no-server', run: ['nestjs-ben-udp send 127.0.0.1:PORT echo 1'] },
  { block: 'decode', run: ['nestjs-ben-udp decode loopback.pcap --key-file board-k.sec'] },
  { block: 'decode-wrong-key', run: ['nestjs-ben-udp decode kitchen.txt --key-file sensor.sec'] },
  { block: 'decode-vectors', run: ['nestjs-ben-udp decode upstream-v1.txt --key-file upstream-v1.sec | tail -6'] },
];

/** The files before the first command. `mpremote` is a stand-in, because no board is connected. */
async function prepare(folder, program) {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await chmod(program, 0o755);
  await symlink(program, join(bin, 'nestjs-ben-udp'));
  await writeFile(join(bin, 'mpremote'), '#!/bin/sh\n', { mode: 0o755 });
  const vectors = join(root, 'test', 'vectors');
  await copyFile(join(vectors, 'loopback.pcap'), join(folder, 'loopback.pcap'));
  await writeFile(join(folder, 'board-k.sec'), Buffer.alloc(32, 'k'), { mode: 0o600 });
  await writeFile(join(folder, 'board.sec'), 'too short', { mode: 0o600 });
  const { keyfile, runs } = JSON.parse(await readFile(join(vectors, 'upstream-v1.json'), 'utf8'));
  const exchanges = runs.flatMap((run) => run.exchanges);
  await writeFile(join(folder, 'kitchen.txt'), toHexText(exchanges.slice(0, 1)));
  await writeFile(join(folder, 'upstream-v1.txt'), toHexText(exchanges));
  await writeFile(join(folder, 'upstream-v1.sec'), Buffer.from(keyfile, 'hex'), { mode: 0o600 });
  return { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, BEN_KEY_FILE: '' };
}

function toHexText(exchanges) {
  const datagrams = exchanges.flatMap((exchange) => exchange.datagrams);
  return datagrams.map(({ dir, hex }) => `${dir === 'c2s' ? '>' : '<'} ${hex}\n`).join('');
}

async function record(program) {
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-transcripts-'));
  const port = String(await findFreePort());
  const show = (text) => text.replaceAll(folder, SHOWN_FOLDER).replaceAll(new RegExp(`\\b${port}\\b`, 'g'), SHOWN_PORT);
  const blocks = new Map();
  /** @type {ReturnType<typeof spawnIn> | undefined} */
  let listening;
  try {
    const env = await prepare(folder, program);
    for (const { block, run = [], start, stop, needsServer } of SESSION) {
      let text = '';
      const server = needsServer ? spawnIn('exec nestjs-ben-udp listen --port PORT', { folder, env, port }) : undefined;
      await server?.prints(/Stop with/);
      for (const command of run) {
        const { output, exitCode } = await spawnIn(command, { folder, env, port }).ended;
        text += `$ ${command.replaceAll('PORT', SHOWN_PORT)}\n${output}${exitCode === 0 ? '' : `[exit code ${exitCode}]\n`}`;
      }
      if (start) {
        listening = spawnIn(`exec ${start}`, { folder, env, port });
        await listening.prints(/Stop with/);
        text = `$ ${start.replaceAll('PORT', SHOWN_PORT)}\n`;
      } else if (stop && listening) {
        listening.child.kill('SIGINT');
        text = `${blocks.get(block)}${(await listening.ended).output}`;
      }
      server?.child.kill('SIGINT');
      await server?.ended;
      blocks.set(block, start || stop ? text : show(text));
    }
    blocks.set('listen', show(blocks.get('listen')));
  } finally {
    listening?.child.kill('SIGKILL');
    await rm(folder, { recursive: true });
  }
  return blocks;
}

/** Both outputs in one pipe, as on a screen. */
function spawnIn(command, { folder, env, port }) {
  const child = spawn('sh', ['-c', `exec 2>&1; ${command.replaceAll('PORT', port)}`], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  return {
    child,
    ended: once(child, 'close').then(([exitCode]) => ({ output, exitCode })),
    async prints(pattern) {
      while (!pattern.test(output)) {
        await Promise.race([once(child.stdout, 'data'), failWhenClosed(child)]);
      }
    },
  };
}

async function failWhenClosed(child) {
  await once(child, 'close');
  throw new Error('a background command ended early');
}

async function findFreePort() {
  const socket = createSocket('udp4').bind(0, '0.0.0.0');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** The part that is the same in every run. */
function mask(text) {
  return text
    .split('\n')
    .filter((line) => !isAboutAddresses(line))
    .map((line) =>
      line
        .replaceAll(/0x[0-9a-f]{2}/g, '0x··')
        .replaceAll(/\b[0-9a-f]{8}\b/g, '········')
        .replaceAll(/\b\d\d:\d\d:\d\d\b/g, '··:··:··')
        .replaceAll(/ *\b\d+(\.\d+)? ms/g, ' · ms')
        .replaceAll(/^\d+\.\d s: \d+ asked, \d+ answered, \d+ lost/g, '· s: · asked')
        .replaceAll(/"latencyMs":[\d.]+/g, '"latencyMs":·')
        .replaceAll(/(127\.0\.0\.1):(?!8585\b)\d+/g, '$1:·'),
    )
    .join('\n');
}

/** The addresses of the machine, and the remarks of `doctor` on them. */
function isAboutAddresses(line) {
  return /^(ok|hint|WRONG) +addresses|^ {18}(Join|For boards)|^ {20}\S|^Boards reach it at/.test(line);
}

/** On a machine that no board can reach, `doctor` rightly finds a problem. */
function isComparable({ name }) {
  const isReachable = Object.values(networkInterfaces())
    .flat()
    .some((address) => address?.family === 'IPv4' && !address.internal);
  return isReachable || name !== 'doctor';
}

function replaceBlocks(page, blocks) {
  const stale = [];
  const shown = new Set();
  const text = page.replaceAll(
    /(<!-- transcript: (\S+) -->\n\n```text\n)(.*?)(```\n)/gs,
    (whole, open, name, content, close) => {
      const fresh = blocks.get(name);
      if (fresh === undefined) {
        throw new Error(`there is no transcript "${name}"`);
      }
      shown.add(name);
      if (mask(fresh) === mask(content)) {
        return whole;
      }
      stale.push({ name, fresh, content });
      return `${open}${fresh}${close}`;
    },
  );
  const missing = [...blocks.keys()].filter((name) => !shown.has(name));
  if (missing.length > 0) {
    throw new Error(`docs/command-line.md does not show ${missing.join(', ')}`);
  }
  return { text, stale };
}

const { values: options } = parseArgs({ options: { check: { type: 'boolean' }, program: { type: 'string' } } });
const program = resolve(options.program ?? join(root, 'dist', 'esm', 'cli', 'main.js'));
const page = await readFile(PAGE, 'utf8');
const { text, stale } = replaceBlocks(page, await record(program));
if (options.check) {
  const wrong = stale.filter(isComparable);
  for (const { name, fresh, content } of wrong) {
    console.error(`The transcript "${name}" differs from the output of a run.\n--- page\n${content}--- run\n${fresh}`);
  }
  process.exitCode = wrong.length > 0 ? 1 : 0;
} else {
  await writeFile(PAGE, text);
  console.log(stale.length === 0 ? 'Nothing has changed.' : `Written: ${stale.map(({ name }) => name).join(', ')}`);
}
