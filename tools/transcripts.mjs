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
import { once } from 'node:events';
import { networkInterfaces, tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findFreePort } from './support/free-port.mjs';
import { root } from './support/pack.mjs';

const PAGE = join(root, 'docs', 'command-line.md');

/** The port that the page shows; the one that is used is any free one. */
const SHOWN_PORT = '8585';

/** Messages name absolute paths; a reader has another folder. */
const SHOWN_FOLDER = '/home/you/boards';

/**
 * @typedef {object} Block
 * @property {string} block its name on the page
 * @property {string[]} [run]
 * @property {string} [start] begins in the background
 * @property {boolean} [stop] ends what runs in the background
 * @property {boolean} [needsServer]
 *
 * @typedef {{ folder: string, env: NodeJS.ProcessEnv, port: string }} Place where a command runs
 * @typedef {{ datagrams: { dir: string, hex: string }[] }} Exchange of the vectors
 * @typedef {object} V2Vectors
 * @property {{ name: string, open: string, grant: string }[]} openings
 * @property {{ datagram: string }[]} requests
 * @property {{ name: string, request: string, datagram: string }[]} replies
 */

/**
 * The commands of each block, in this order, in one folder. `listen` runs in the background from `start` to `stop`, and its block is
 * complete then.
 *
 * @type {Block[]}
 */
const SESSION = [
  {
    block: 'usage',
    run: ['nestjs-ben-udp sned', 'nestjs-ben-udp send 192.168.1.10 --tiemout 5s', 'nestjs-ben-udp send 192.168.1.10'],
  },
  { block: 'help', run: ['nestjs-ben-udp -V', 'nestjs-ben-udp help send'] },
  { block: 'keygen', run: ['nestjs-ben-udp keygen key.sec', 'nestjs-ben-udp keygen key.sec'] },
  { block: 'keygen-literal', run: ['nestjs-ben-udp keygen sensor.sec --c > ben_key.h', 'cat ben_key.h'] },
  { block: 'keygen-git', run: ['cd repository && nestjs-ben-udp keygen hall.sec'] },
  { block: 'provision-dry-run', run: ['nestjs-ben-udp provision kitchen --host 192.168.1.10 --dry-run'] },
  { block: 'provision', run: ['nestjs-ben-udp provision kitchen --host 192.168.1.10'] },
  { block: 'provision-v2', run: ['nestjs-ben-udp provision cellar --host 192.168.1.10 --v2'] },
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
    block: 'send-v2',
    run: [
      `nestjs-ben-udp send 127.0.0.1:PORT echo '"hello"' --v2`,
      'nestjs-ben-udp send 127.0.0.1:PORT echo 1 --v2 --timeout 500ms --key-file sensor.sec',
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
  { block: 'decode-v2', run: ['nestjs-ben-udp decode cellar.txt --key-file board-k.sec'] },
  { block: 'decode-extra', run: ['nestjs-ben-udp decode hall.txt --key-file upstream-v1.sec'] },
  { block: 'decode-wrong-key', run: ['nestjs-ben-udp decode kitchen.txt --key-file sensor.sec'] },
  { block: 'decode-vectors', run: ['nestjs-ben-udp decode upstream-v1.txt --key-file upstream-v1.sec | tail -6'] },
];

/**
 * The files before the first command. `mpremote` is a stand-in, because no board is connected, and `git` too, which not every machine has.
 *
 * @param {string} folder
 * @param {string} program
 */
async function prepare(folder, program) {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await chmod(program, 0o755);
  await symlink(program, join(bin, 'nestjs-ben-udp'));
  await writeFile(join(bin, 'mpremote'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(bin, 'git'), '#!/bin/sh\n[ -d .git ] && exit 1\nexit 128\n', { mode: 0o755 });
  await mkdir(join(folder, 'repository', '.git'), { recursive: true });
  const vectors = join(root, 'test', 'vectors');
  await copyFile(join(vectors, 'loopback.pcap'), join(folder, 'loopback.pcap'));
  await writeFile(join(folder, 'board-k.sec'), Buffer.alloc(32, 'k'), { mode: 0o600 });
  await writeFile(join(folder, 'board.sec'), 'too short', { mode: 0o600 });
  const { keyfile, runs } = JSON.parse(await readFile(join(vectors, 'upstream-v1.json'), 'utf8'));
  /** @type {Exchange[]} */
  const exchanges = runs.flatMap((/** @type {{ exchanges: Exchange[] }} */ run) => run.exchanges);
  await writeFile(join(folder, 'kitchen.txt'), toHexText(exchanges.slice(0, 1)));
  await writeFile(join(folder, 'hall.txt'), toHexText(withCopyOfTheReply(exchanges[0])));
  await writeFile(
    join(folder, 'cellar.txt'),
    toHexTextV2(JSON.parse(await readFile(join(vectors, 'v2.json'), 'utf8'))),
  );
  await writeFile(join(folder, 'upstream-v1.txt'), toHexText(exchanges));
  await writeFile(join(folder, 'upstream-v1.sec'), Buffer.from(keyfile, 'hex'), { mode: 0o600 });
  return { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, BEN_KEY_FILE: '' };
}

/**
 * The network delivers the last part of the reply twice.
 *
 * @param {Exchange} exchange
 */
function withCopyOfTheReply({ datagrams }) {
  return [{ datagrams: [...datagrams, ...datagrams.slice(-1)] }];
}

/** @param {Exchange[]} exchanges */
function toHexText(exchanges) {
  const datagrams = exchanges.flatMap((exchange) => exchange.datagrams);
  return datagrams.map(({ dir, hex }) => `${dir === 'c2s' ? '>' : '<'} ${hex}\n`).join('');
}

/**
 * Two exchanges of one session, from the vectors of protocol v2. The first request was sent twice.
 *
 * @param {V2Vectors} vectors
 */
function toHexTextV2({ openings, requests, replies }) {
  const { open, grant } = byName(openings, 'first opening, IPv4');
  const reply = (/** @type {string} */ name) => byName(replies, name);
  const [first, second] = [reply('first'), reply('second')];
  const lines = [
    ['>', open],
    ['<', grant],
    ['>', first.request],
    ['>', first.request],
    ['<', first.datagram],
  ];
  return [...lines, ['>', second.request], ['<', second.datagram], ['>', requests[2].datagram]]
    .map(([mark, hex]) => `${mark} ${hex}\n`)
    .join('');
}

/**
 * @template {{ name: string }} Item
 * @param {Item[]} all
 * @param {string} name
 */
function byName(all, name) {
  const found = all.find((each) => each.name === name);
  if (!found) {
    throw new Error(`there is no vector "${name}"`);
  }
  return found;
}

/** @param {string} program */
async function record(program) {
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-transcripts-'));
  const port = String(await findFreePort());
  const show = (/** @type {string} */ text) =>
    text.replaceAll(folder, SHOWN_FOLDER).replaceAll(new RegExp(`\\b${port}\\b`, 'g'), SHOWN_PORT);
  /** @type {Map<string, string>} */
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
    blocks.set('listen', show(blocks.get('listen') ?? ''));
  } finally {
    listening?.child.kill('SIGKILL');
    await rm(folder, { recursive: true });
  }
  return blocks;
}

/**
 * Both outputs in one pipe, as on a screen.
 *
 * @param {string} command
 * @param {Place} place
 */
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
    /** @param {RegExp} pattern */
    async prints(pattern) {
      while (!pattern.test(output)) {
        await Promise.race([once(child.stdout, 'data'), failWhenClosed(child)]);
      }
    },
  };
}

/** @param {import('node:child_process').ChildProcess} child */
async function failWhenClosed(child) {
  await once(child, 'close');
  throw new Error('a background command ended early');
}

/**
 * The part that is the same in every run.
 *
 * @param {string} text
 */
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

/**
 * The addresses of the machine, and the remarks of `doctor` on them.
 *
 * @param {string} line
 */
function isAboutAddresses(line) {
  return /^(ok|hint|WRONG) +addresses|^ {18}(Join|For boards)|^ {20}\S|^Boards reach it at/.test(line);
}

/**
 * On a machine that no board can reach, `doctor` rightly finds a problem.
 *
 * @param {{ name: string }} block
 */
function isComparable({ name }) {
  const isReachable = Object.values(networkInterfaces())
    .flat()
    .some((address) => address?.family === 'IPv4' && !address.internal);
  return isReachable || name !== 'doctor';
}

/**
 * @param {string} page
 * @param {Map<string, string>} blocks
 */
function replaceBlocks(page, blocks) {
  /** @type {{ name: string, fresh: string, content: string }[]} */
  const stale = [];
  /** @type {Set<string>} */
  const shown = new Set();
  const text = page.replaceAll(
    /(<!-- transcript: (\S+) -->\n\n```text\n)(.*?)(```\n)/gs,
    (/** @type {string} */ whole, open, name, content, close) => {
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
