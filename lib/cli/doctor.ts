/**
 * `doctor`: looks for what keeps boards from reaching this machine.
 */
import { open } from 'node:fs/promises';
import { formatEndpoint } from '../format-endpoint.js';
import { DEFAULT_BUFFER_SIZE, DEFAULT_HOST, DEFAULT_IDLE_TIMEOUT_MS, DEFAULT_PORT } from '../constants.js';
import { RequestClient } from '../client/index.js';
import { DEFAULT_KEY_FILE } from '../keys/index.js';
import { KEY_BYTES, Sealer, formatRequest, readReply } from '../protocol/index.js';
import { type ReachableAddress, listAddresses } from './addresses.js';
import { CliFailure, defineCommand, readHost, readInteger } from './command.js';
import { answerWith, bindServer, explainBind } from './echo-server.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo } from './io.js';
import { type CliKey, KEY_HELP, KEY_OPTIONS, type KeyValues, keyFileChecks, keyPath, readKey } from './key.js';
import { printDocument } from './text.js';

const HELP = `nestjs-ben-udp doctor [options]

Looks for what keeps boards from reaching a server on this machine: the key file, the port, an exchange of this machine
with itself, and the addresses at which boards could reach it. Changes nothing.

  --host ADDRESS    the address the server is to bind to; default ${DEFAULT_HOST}, all of them
  --port N          its port; default ${DEFAULT_PORT}
${KEY_HELP}
  --json            one JSON document: {"outcome": "well" or "ill", "checks": […], "addresses": […]}

Exit codes: 0 all is well (there may be hints), 1 something is wrong, 2 wrong usage.`;

/** A loopback answers in a millisecond. */
const LOOPBACK_TIMEOUT_MS = 2000;

/** What a finding of the doctor means. */
export type CheckStatus = 'ok' | 'hint' | 'wrong';

export interface Check {
  readonly name: 'key file' | 'port' | 'loopback' | 'addresses';
  readonly status: CheckStatus;
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
}

export const doctor = defineCommand({
  name: 'doctor',
  help: HELP,
  options: { ...KEY_OPTIONS, host: { type: 'string' }, port: { type: 'string' } },
  positionals: { min: 0, max: 0 },
  async run({ values }, io) {
    const host = readHost(values.host, DEFAULT_HOST);
    const port = readInteger('port', values.port, DEFAULT_PORT, 1, 65_535);
    const { checks: keyChecks, key } = await checkKeyFile(values, io);
    const addresses = listAddresses(io.interfaces());
    const checks: Check[] = [
      ...keyChecks,
      await checkPort(host, port, io),
      await checkLoopback(key, io),
      checkAddresses(host, addresses),
    ];
    const isWell = checks.every(({ status }) => status !== 'wrong');
    if (values.json) {
      io.out(printDocument({ outcome: isWell ? 'well' : 'ill', checks, addresses }));
    } else {
      tell(checks, addresses, { host, port, isWell }, io);
    }
    return isWell ? EXIT_CODES.ok : EXIT_CODES.failed;
  },
});

/** What is read of a key file to see whether it is a text: no more than a key and its line end in hex. */
const MAX_TEXT_KEY_BYTES = 128;

async function checkKeyFile(values: KeyValues, io: CliIo): Promise<{ checks: Check[]; key: CliKey | undefined }> {
  const path = keyPath(values, io) ?? DEFAULT_KEY_FILE;
  try {
    const key = await readKey(path, keyFileChecks(values));
    const remark = await findRemark(path);
    const message = `"${key.path}" is readable: key ${key.fingerprint}`;
    const check: Check = { name: 'key file', status: remark ? 'hint' : 'ok', message, ...(remark && { hint: remark }) };
    return { checks: [check], key };
  } catch (error) {
    if (!(error instanceof CliFailure)) {
      throw error;
    }
    const check: Check = { name: 'key file', status: 'wrong', message: error.message, hint: error.about.hint };
    return { checks: [check], key: undefined };
  }
}

/** What is odd about the contents of a key file that can be used. Its bytes go nowhere. */
async function findRemark(path: string): Promise<string | undefined> {
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_TEXT_KEY_BYTES), 0, MAX_TEXT_KEY_BYTES, 0);
    const remark = describeContents(buffer.subarray(0, bytesRead));
    buffer.fill(0);
    return remark;
  } finally {
    await file.close();
  }
}

/** What is odd about the contents of a key file, as far as that can be seen; `undefined` for random bytes. */
export function describeContents(contents: Uint8Array): string | undefined {
  if (contents.length < KEY_BYTES) {
    return `It holds ${contents.length} bytes, so its key can be guessed: "nestjs-ben-udp keygen" makes one of ${KEY_BYTES}.`;
  }
  if (new Set(contents).size === 1) {
    return 'All of its bytes are the same, so its key can be guessed: make one with "nestjs-ben-udp keygen".';
  }
  const isText = contents.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
  if (isText && contents.at(-1) === 0x0a) {
    return (
      'It is a text that ends in a line end, and the line end counts: a device whose file lacks it has another key. ' +
      'Copy the file itself, not its text.'
    );
  }
  return isText
    ? 'It is a text and is used as it stands, not as the bytes that it may spell: devices need the same text.'
    : undefined;
}

async function checkPort(host: string, port: number, { platform }: CliIo): Promise<Check> {
  try {
    const ignore = { onDatagram: () => undefined, onError: () => undefined };
    const socket = await platform.bindSocket({ host, port, receiveBufferSize: undefined }, ignore);
    await socket.close();
    return { name: 'port', status: 'ok', message: `${formatEndpoint(host, port)} is free` };
  } catch (error) {
    const { message, about } = explainBind(error as NodeJS.ErrnoException, host, port);
    return { name: 'port', status: 'wrong', message, hint: about.hint };
  }
}

/** An exchange of this machine with itself, with the key, or with another one where there is none. */
async function checkLoopback(key: CliKey | undefined, { platform }: CliIo): Promise<Check> {
  const aesKey = key?.key ?? Buffer.alloc(KEY_BYTES);
  const begin = platform.now();
  try {
    await exchangeWithItself(aesKey, platform);
  } catch (error) {
    return {
      name: 'loopback',
      status: 'wrong',
      message: `an exchange on 127.0.0.1 failed: ${(error as Error).message}`,
      hint: 'Something on this machine stops UDP even within it: a firewall, or a sandbox.',
    };
  }
  const ms = (platform.now() - begin).toFixed(0);
  return { name: 'loopback', status: 'ok', message: `an exchange on 127.0.0.1 worked (${ms} ms)` };
}

async function exchangeWithItself(key: Buffer, platform: CliIo['platform']): Promise<void> {
  const server = await bindServer(
    { host: '127.0.0.1', port: 0, key, datagramGap: 0 },
    {
      onRequest: async ({ data }) => answerWith(data),
      onRejected: () => undefined,
      onUnreadable: () => undefined,
      onEnded: () => undefined,
      onError: () => undefined,
      onSendError: () => undefined,
    },
    platform,
  );
  try {
    const options = {
      host: '127.0.0.1',
      port: server.address.port,
      localAddress: '127.0.0.1',
      localPort: 0,
    };
    const limits = {
      bufferSize: DEFAULT_BUFFER_SIZE,
      maxSockets: 1,
      maxQueue: 1,
      idleTimeout: DEFAULT_IDLE_TIMEOUT_MS,
    };
    const handlers = { onIgnored: () => undefined, onError: () => undefined };
    const client = await RequestClient.create({ ...options, ...limits }, new Sealer(key), handlers, platform);
    try {
      await askForEcho(client);
    } finally {
      await client.close();
    }
  } finally {
    await server.close();
  }
}

async function askForEcho(client: RequestClient): Promise<void> {
  const data = 'nestjs-ben-udp doctor';
  const text = formatRequest({ action: 'echo', data });
  const request = {
    text,
    noreturn: false,
    pattern: 'echo',
    timeout: LOOPBACK_TIMEOUT_MS,
    retries: 0,
    idempotent: false,
  };
  const reply = readReply((await client.request(request))!);
  if (!('data' in reply) || reply.data !== data) {
    throw new Error('the answer was not what was sent');
  }
}

function checkAddresses(host: string, addresses: readonly ReachableAddress[]): Check {
  const name = 'addresses';
  if (host === '127.0.0.1' || host === 'localhost' || host === '::1') {
    return {
      name,
      status: 'hint',
      message: `${host} is reached from this machine alone`,
      hint: 'For boards take --host 0.0.0.0, and the same in the options of the server.',
    };
  }
  const likely = addresses.filter(({ isLikely }) => isLikely);
  if (addresses.length === 0) {
    const message = 'this machine has no IPv4 address but loopback, so no board reaches it';
    return { name, status: 'wrong', message, hint: 'Join the network that the boards are in.' };
  }
  if (likely.length === 0) {
    const message = 'none of the addresses of this machine looks like one that a board reaches';
    return { name, status: 'hint', message, hint: 'Join the network that the boards are in.' };
  }
  return {
    name,
    status: 'ok',
    message: `boards in the same network reach ${likely.map((each) => each.address).join(', ')}`,
  };
}

const MARKS: Readonly<Record<CheckStatus, string>> = { ok: 'ok   ', hint: 'hint ', wrong: 'WRONG' };

interface Circumstances {
  readonly host: string;
  readonly port: number;
  readonly isWell: boolean;
}

function tell(
  checks: readonly Check[],
  addresses: readonly ReachableAddress[],
  { port, isWell }: Circumstances,
  io: CliIo,
): void {
  for (const { name, status, message, hint } of checks) {
    io.out(`${MARKS[status]}  ${name.padEnd(9)}  ${message}`);
    hint?.split('\n').forEach((line) => io.out(`                  ${line}`));
  }
  const width = Math.max(0, ...addresses.map(({ address }) => address.length));
  addresses.forEach(({ address, name, remark }) =>
    io.out(`                    ${address.padEnd(width)}  ${name}${remark ? `: ${remark}` : ''}`),
  );
  io.out('');
  if (isWell) {
    io.out(`All is well here. If a board hears nothing all the same, look between it and this machine:
  - a firewall: let UDP port ${port} in ("sudo ufw allow ${port}/udp", "sudo firewall-cmd --add-port=${port}/udp";
    on Windows and macOS allow Node to accept connections)
  - the Wi-Fi: the same network, 2.4 GHz, and no guest network that keeps its guests apart
  - the board: the address above, the port, and the same key file`);
  } else {
    io.out('Something is wrong: see WRONG above.');
  }
}
