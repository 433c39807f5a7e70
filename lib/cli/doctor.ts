/**
 * `doctor`: checks why boards do not reach this machine.
 */
import { open } from 'node:fs/promises';
import { formatEndpoint } from '../format-endpoint.js';
import { DEFAULT_HOST, DEFAULT_PORT } from '../constants.js';
import type { BenUdpProtocol } from '../exchange/index.js';
import { DEFAULT_KEY_FILE } from '../keys/index.js';
import { KEY_BYTES, formatRequest, readReply } from '../protocol/index.js';
import { type ReachableAddress, listAddresses } from './addresses.js';
import { type CliClient, createClient } from './client.js';
import { CliFailure, defineCommand, readHost, readInteger } from './command.js';
import { answerWith, bindServer, explainBind } from './echo-server.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo } from './io.js';
import { type CliKey, KEY_HELP, KEY_OPTIONS, type KeyValues, keyFileChecks, keyPath, readKey } from './key.js';
import { PROGRAM, printDocument } from './text.js';

const HELP = `Checks why boards do not reach a server on this machine: the key file, the port, exchanges of v1 and v2 on the loopback
interface, and the addresses for boards. Changes nothing.

  --host ADDRESS    the address of the server; default ${DEFAULT_HOST}, all addresses
  --port N          its port; default ${DEFAULT_PORT}
${KEY_HELP}
  --json            one JSON document: {"outcome": "ok" or "problem", "checks": […], "addresses": […]}

Examples:
  ${PROGRAM} doctor
  ${PROGRAM} doctor --port 9000 --key-file keys/kitchen.sec

Exit codes: 0 no problem (maybe hints), 1 a problem, 2 wrong usage.`;

/** A loopback answers in a millisecond. */
const LOOPBACK_TIMEOUT_MS = 2000;

/** The meaning of a finding. */
export type CheckStatus = 'ok' | 'hint' | 'wrong';

export interface Check {
  readonly name: 'key file' | 'port' | 'loopback' | 'addresses';
  readonly status: CheckStatus;
  readonly message: string;
  /** The next step. */
  readonly hint?: string;
}

export const doctor = defineCommand({
  name: 'doctor',
  help: HELP,
  options: { ...KEY_OPTIONS, host: { type: 'string' }, port: { type: 'string' } },
  args: [],
  required: 0,
  async run({ values }, io) {
    const host = readHost(values.host, DEFAULT_HOST);
    const port = readInteger('port', values.port, DEFAULT_PORT, 1, 65_535);
    const { checks: keyChecks, key } = await checkKeyFile(values, io);
    const addresses = listAddresses(io.interfaces());
    const checks: Check[] = [
      ...keyChecks,
      await checkPort(host, port, io),
      await checkLoopback(key, io).finally(() => key?.key.fill(0)),
      checkAddresses(host, addresses),
    ];
    const isOk = checks.every(({ status }) => status !== 'wrong');
    if (values.json) {
      io.out(printDocument({ outcome: isOk ? 'ok' : 'problem', checks, addresses }));
    } else {
      tell(checks, addresses, { host, port, isOk }, io);
    }
    return isOk ? EXIT_CODES.ok : EXIT_CODES.failed;
  },
});

/** Bytes of a key file that show whether it is a text: a key in hex and its line end. */
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

/** A remark on the contents of a valid key file. Its bytes are not kept. */
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

/** A remark on suspicious contents of a key file; `undefined` for random bytes. */
export function describeContents(contents: Uint8Array): string | undefined {
  if (contents.length < KEY_BYTES) {
    return `It holds ${contents.length} bytes, so its key can be guessed. "${PROGRAM} keygen FILE" makes one of ${KEY_BYTES}.`;
  }
  if (new Set(contents).size === 1) {
    return `All of its bytes are the same, so its key can be guessed. Make another one with "${PROGRAM} keygen FILE".`;
  }
  const isText = contents.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
  if (isText && contents.at(-1) === 0x0a) {
    return (
      'It is a text with a line end, and the line end counts: a device without it has another key. ' +
      'Copy the file itself, not its text.'
    );
  }
  return isText
    ? 'It is a text, and the text itself is the key, not the bytes that it may spell. Devices need the same text.'
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

const PROTOCOLS: readonly BenUdpProtocol[] = ['v1', 'v2'];

/** An exchange of each protocol on the loopback interface, with the key if there is one. */
async function checkLoopback(key: CliKey | undefined, { platform }: CliIo): Promise<Check> {
  const bytes = key?.key ?? Buffer.alloc(KEY_BYTES);
  const times: string[] = [];
  for (const protocol of PROTOCOLS) {
    const begin = platform.now();
    try {
      await exchangeWithItself(protocol, bytes, platform);
    } catch (error) {
      return {
        name: 'loopback',
        status: 'wrong',
        message: `an exchange of ${protocol} on 127.0.0.1 failed: ${(error as Error).message}`,
        hint: 'Something blocks UDP even within this machine, such as a firewall or a sandbox.',
      };
    }
    times.push(`${protocol} ${(platform.now() - begin).toFixed(0)} ms`);
  }
  return { name: 'loopback', status: 'ok', message: `exchanges on 127.0.0.1 worked (${times.join(', ')})` };
}

async function exchangeWithItself(protocol: BenUdpProtocol, key: Buffer, platform: CliIo['platform']): Promise<void> {
  const server = await bindServer(
    { host: '127.0.0.1', port: 0, key, datagramGap: 0 },
    {
      onRequest: async ({ data }) => answerWith(data),
      onRejected: () => undefined,
      onRefused: () => undefined,
      onEnded: () => undefined,
      onError: () => undefined,
      onSendError: () => undefined,
    },
    platform,
  );
  try {
    const { port } = server.address;
    const target = { host: '127.0.0.1', port, localAddress: '127.0.0.1', localPort: 0 };
    const client = await createClient(target, protocol, key, platform);
    try {
      await askForEcho(client);
    } finally {
      await client.close();
    }
  } finally {
    await server.close();
  }
}

async function askForEcho(client: CliClient): Promise<void> {
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
    throw new Error('the answer differs from the request');
  }
}

function checkAddresses(host: string, addresses: readonly ReachableAddress[]): Check {
  const name = 'addresses';
  if (host === '127.0.0.1' || host === 'localhost' || host === '::1') {
    return {
      name,
      status: 'hint',
      message: `only this machine reaches ${host}`,
      hint: 'For boards, set host: 0.0.0.0 in the options of the server, and --host 0.0.0.0 here.',
    };
  }
  const likely = addresses.filter(({ isLikely }) => isLikely);
  if (addresses.length === 0) {
    const message = 'this machine has no IPv4 address except loopback, so no board reaches it';
    return { name, status: 'wrong', message, hint: 'Join the network of the boards.' };
  }
  if (likely.length === 0) {
    const message = 'a board is unlikely to reach any address of this machine';
    return { name, status: 'hint', message, hint: 'Join the network of the boards.' };
  }
  return {
    name,
    status: 'ok',
    message: `boards in the same network reach ${likely.map((each) => each.address).join(', ')}`,
  };
}

const MARKS: Readonly<Record<CheckStatus, string>> = { ok: 'ok   ', hint: 'hint ', wrong: 'WRONG' };

const COLOURS = { ok: 'green', hint: 'yellow', wrong: 'red' } as const;

interface Circumstances {
  readonly host: string;
  readonly port: number;
  readonly isOk: boolean;
}

function tell(
  checks: readonly Check[],
  addresses: readonly ReachableAddress[],
  { port, isOk }: Circumstances,
  io: CliIo,
): void {
  for (const { name, status, message, hint } of checks) {
    const style = { format: COLOURS[status], length: MARKS[status].length };
    io.out(`${MARKS[status]}  ${name.padEnd(9)}  ${message}`, style);
    hint?.split('\n').forEach((line) => io.out(`                  ${line}`));
  }
  const width = Math.max(0, ...addresses.map(({ address }) => address.length));
  addresses.forEach(({ address, name, remark }) =>
    io.out(`                    ${address.padEnd(width)}  ${name}${remark ? `: ${remark}` : ''}`),
  );
  io.out('');
  if (isOk) {
    io.out(`No problem found on this machine. If a board still gets no answer, check the network between them:
  - a firewall: allow UDP port ${port} ("sudo ufw allow ${port}/udp", "sudo firewall-cmd --add-port=${port}/udp";
    on Windows and macOS, allow Node to accept connections)
  - the Wi-Fi: the same network, 2.4 GHz, and not a guest network, which separates its guests
  - the board: the address above, the port, and the same key file`);
  } else {
    io.out('Found a problem: see WRONG above.');
  }
}
