/**
 * `provision`: puts a key, the client and a program on a board that is connected by USB.
 */
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { isIPv4, isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DEFAULT_PORT } from '../constants.js';
import type { BenUdpProtocol } from '../exchange/index.js';
import { listAddresses } from './addresses.js';
import { BOARD_CLIENT } from './board-client.js';
import { BOARD_CLIENT_V2 } from './board-client-v2.js';
import { CliFailure, UsageError, defineCommand, readHost, readInteger } from './command.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo } from './io.js';
import { readKey } from './key.js';
import { checkGit, describeGit, makeKeyFile, quote, serverOption } from './keygen.js';
import { PROGRAM, excerpt, printDocument } from './text.js';

const HELP = `Puts a key, the client and a program on the board that is connected by USB, with mpremote. Makes the key if there is none.
NAME names the board on the server: letters, digits, - and _.

  --host ADDRESS    the server, as the board reaches it; default: this machine's address
  --port N          its port; default ${DEFAULT_PORT}
  --key-file FILE   the key file of this board; default keys/NAME.sec
  --device PORT     the serial port of the board, such as /dev/ttyUSB0; default: the only one
  --v2              copy ben2.py, the client of protocol v2, and refuse v1 under the key
  --ssid NAME       let main.py connect to this Wi-Fi; the password comes from BEN_WIFI_PASSWORD
  --force           replace a main.py on the board
  --dry-run         print the commands and main.py, and change nothing
  --json            one JSON document: name, keyFile, fingerprint, commands, server

Examples:
  ${PROGRAM} provision kitchen --dry-run
  ${PROGRAM} provision kitchen --host 192.168.1.10 --device /dev/ttyUSB0 --v2

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 Ctrl+C.`;

const NAME = /^[A-Za-z0-9][\w-]{0,63}$/;

/** Only the owner may read the folder of keys. */
const KEY_FOLDER_MODE = 0o700;

const INSTALL = `It copies files to a board. Install it with one of these:
  pipx install mpremote
  uv tool install mpremote
  python3 -m pip install --user mpremote`;

/** Prints whether the board already has a program. */
const LOOK = "import os; print('main.py' in os.listdir())";

interface Plan {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly keyFile: string;
  readonly device: string | undefined;
  readonly ssid: string | undefined;
  readonly password: string;
  readonly protocol: BenUdpProtocol;
}

/** The client of each protocol: the module on the board, and its text. */
const CLIENTS = {
  v1: { module: 'benclient', text: BOARD_CLIENT },
  v2: { module: 'ben2', text: BOARD_CLIENT_V2 },
} as const;

export const provision = defineCommand({
  name: 'provision',
  args: ['NAME'],
  required: 1,
  help: HELP,
  options: {
    host: { type: 'string' },
    port: { type: 'string' },
    'key-file': { type: 'string' },
    device: { type: 'string' },
    v2: { type: 'boolean' },
    ssid: { type: 'string' },
    force: { type: 'boolean' },
    'dry-run': { type: 'boolean' },
  },
  async run({ values, positionals: [name] }, io) {
    if (!NAME.test(name!)) {
      throw new UsageError('NAME is 1 to 64 letters, digits, - and _, and begins with a letter or a digit');
    }
    const plan: Plan = {
      name: name!,
      host: values.host === undefined ? findHost(io) : readHost(values.host, 'that of this machine'),
      port: readInteger('port', values.port, DEFAULT_PORT, 1, 65_535),
      keyFile: values['key-file'] ?? `keys/${name}.sec`,
      device: values.device,
      ssid: values.ssid,
      password: io.env['BEN_WIFI_PASSWORD'] ?? '',
      protocol: values.v2 ? 'v2' : 'v1',
    };
    if (isIPv6(plan.host)) {
      throw new UsageError(`--host "${plan.host}" is an IPv6 address, and boards send IPv4`);
    }
    const server = `new BenUdpTransport({ ${plan.protocol === 'v2' ? serverOptionV2(plan) : serverOption(plan.keyFile)} })`;
    if (values['dry-run']) {
      dryRun(plan, server, values.json === true, io);
      return EXIT_CODES.ok;
    }
    await checkBoard(plan, values.force === true, io);
    const { fingerprint, isNew } = await prepareKey(plan.keyFile);
    await copyFiles(plan, io);
    if (values.json) {
      const { keyFile } = plan;
      io.out(printDocument({ name, keyFile, fingerprint, commands: commandsOf(plan).map(show), server }));
      return EXIT_CODES.ok;
    }
    io.out(`${isNew ? 'Made' : 'Used'} ${plan.keyFile}: key ${fingerprint}.`);
    io.out(
      `Copied key.sec, ${CLIENTS[plan.protocol].module}.py and main.py to the board, and restarted it. It sends to ${plan.host}:${plan.port}.`,
    );
    if (!isIPv4(plan.host)) {
      io.out(`Of the usual boards, only ESP32 looks up names. For any other one use --host with an address.`);
    }
    io.out('');
    io.out(`The server:  ${server}`);
    io.out(`Try it:      ${PROGRAM} listen --port ${plan.port} --key-file "${plan.keyFile}"`);
    if (isNew) {
      io.out('');
      io.out(`The key is a secret. ${describeGit(plan.keyFile, await checkGit(plan.keyFile, io))}`);
    }
    return EXIT_CODES.ok;
  },
});

/** @throws UsageError */
function findHost({ interfaces }: CliIo): string {
  const likely = listAddresses(interfaces()).find(({ isLikely }) => isLikely);
  if (!likely) {
    throw new UsageError('this machine has no address for boards: name the server with --host');
  }
  return likely.address;
}

/** All steps as commands, in their order. */
function stepsOf(plan: Plan): string[][] {
  const folder = dirname(plan.keyFile);
  return [
    lookCommand(plan),
    ...(folder === '.' ? [] : [['mkdir', '-p', '-m', KEY_FOLDER_MODE.toString(8), folder]]),
    ['npx', 'nestjs-ben-udp', 'keygen', plan.keyFile],
    ...commandsOf(plan),
  ];
}

function lookCommand({ device }: Plan): string[] {
  return [...mpremoteOf(device), 'exec', LOOK];
}

function mpremoteOf(device: string | undefined): string[] {
  return ['mpremote', ...(device === undefined ? [] : ['connect', device])];
}

/** The commands that copy the files. `key.sec`, the name of the client and `main.py` are the names on the board. */
function commandsOf({ keyFile, device, protocol }: Plan, folder = ''): string[][] {
  const client = `${CLIENTS[protocol].module}.py`;
  const mpremote = mpremoteOf(device);
  return [
    [...mpremote, 'cp', keyFile, ':key.sec'],
    [...mpremote, 'cp', join(folder, client), `:${client}`],
    [...mpremote, 'cp', join(folder, 'main.py'), ':main.py'],
    [...mpremote, 'reset'],
  ];
}

/** A command as a person types it. */
function show(words: readonly string[]): string {
  return words.map((word) => (/^[\w./:-]+$/.test(word) ? word : `"${word}"`)).join(' ');
}

function dryRun(plan: Plan, server: string, isJson: boolean, io: CliIo): void {
  const commands = stepsOf(plan).map(show);
  const program = formatProgram({ ...plan, password: plan.ssid === undefined ? '' : '…' });
  if (isJson) {
    io.out(printDocument({ name: plan.name, keyFile: plan.keyFile, commands, program, server }));
    return;
  }
  io.out('These commands would run, mkdir and keygen only if there is no key file.');
  io.out('If the first one prints True, the board has a main.py, and the others need --force:');
  commands.forEach((command) => io.out(`  ${command}`));
  io.out('');
  io.out('main.py:');
  program
    .trimEnd()
    .split('\n')
    .forEach((line) => io.out(`  ${line}`.trimEnd()));
  io.out('');
  io.out(`The server:  ${server}`);
}

/** @throws CliFailure */
async function checkBoard(plan: Plan, isForced: boolean, io: CliIo): Promise<void> {
  const stdout = await runOnBoard(lookCommand(plan), io);
  if (stdout.includes('True') && !isForced) {
    throw new CliFailure('the board has a main.py already', {
      hint: 'To replace it, add --force. To keep a copy first:\n  mpremote cp :main.py main.py',
    });
  }
}

async function prepareKey(keyFile: string): Promise<{ fingerprint: string; isNew: boolean }> {
  const exists = await stat(keyFile).then(
    () => true,
    () => false,
  );
  if (exists) {
    const { key, fingerprint } = await readKey(keyFile, 'strict');
    key.fill(0);
    return { fingerprint, isNew: false };
  }
  await mkdir(dirname(keyFile), { recursive: true, mode: KEY_FOLDER_MODE }).catch((error: NodeJS.ErrnoException) => {
    throw new CliFailure(`the folder "${dirname(keyFile)}" can't be made (${error.code})`, {
      hint: 'Name another file with --key-file.',
    });
  });
  return { fingerprint: await makeKeyFile(keyFile), isNew: true };
}

/** @throws CliFailure */
async function copyFiles(plan: Plan, io: CliIo): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-ben-udp-'));
  try {
    const { module, text } = CLIENTS[plan.protocol];
    await writeFile(join(folder, `${module}.py`), text);
    await writeFile(join(folder, 'main.py'), formatProgram(plan), { mode: 0o600 });
    for (const command of commandsOf(plan, folder)) {
      await runOnBoard(command, io);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws CliFailure */
async function runOnBoard([command, ...args]: readonly string[], { runProgram, signal }: CliIo): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram(command!, args);
  if (signal.aborted) {
    throw new CliFailure('interrupted', {
      exitCode: EXIT_CODES.interrupted,
      hint: 'The board may have a part of the files. Run the command again, with --force if it has a main.py.',
    });
  }
  if (exitCode === undefined) {
    throw new CliFailure('mpremote is not installed', { hint: INSTALL });
  }
  if (exitCode !== 0) {
    const [reason = ''] = (stderr.trim() || stdout.trim()).split('\n').slice(-1);
    throw new CliFailure(`mpremote failed: ${excerpt(reason)}`, {
      hint: 'Connect the board by USB and close other programs that use its port. "mpremote connect list" lists boards.',
    });
  }
  return stdout;
}

/** The option of a server that refuses v1 under the key of this board, because v1 promises less. */
function serverOptionV2({ name, keyFile }: Plan): string {
  const board = /^[A-Za-z_]\w*$/.test(name) ? name : `'${name}'`;
  return `keys: { ${board}: { keyFile: ${quote(keyFile.replaceAll('\\', '/'))}, protocol: 'v2' } }`;
}

/** The program of the board: one request every ten seconds. */
export function formatProgram({
  name,
  host,
  port,
  ssid,
  password,
  protocol,
}: Omit<Plan, 'keyFile' | 'device'>): string {
  const wifi =
    ssid === undefined
      ? '# boot.py connects the board to the network.\n'
      : `import network

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(${pythonString(ssid)}, ${pythonString(password)})
while not wlan.isconnected():
    time.sleep(0.2)

`;
  return `import time

from ${CLIENTS[protocol].module} import client

${wifi}
board = client(${pythonString(host)}, ${port})
while True:
    try:
        print(board.send({"action": "echo", "data": ${pythonString(`hello from ${name}`)}}))
    except Exception as error:
        print("no answer:", error)
    time.sleep(10)
`;
}

/** A string of Python. JSON writes it the same way. */
function pythonString(text: string): string {
  return JSON.stringify(text);
}
