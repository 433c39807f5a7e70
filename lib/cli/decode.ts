/**
 * `decode`: explains recorded datagrams.
 */
import { open } from 'node:fs/promises';
import {
  type DecodedExchange,
  MAX_CAPTURE_BYTES,
  type Recording,
  decodeExchanges,
  readRecording,
} from '../decode/index.js';
import { BenUdpError } from '../errors.js';
import { fingerprint } from '../keys/index.js';
import { CliFailure, defineCommand, readInteger } from './command.js';
import { EXIT_CODES, type ExitCode } from './exit-code.js';
import type { CliIo } from './io.js';
import { KEY_OPTIONS, keyFileChecks, readKey } from './key.js';
import { PROGRAM, count, excerpt, printDocument } from './text.js';

const HELP = `Explains recorded datagrams: names each step of each exchange and, with the key, opens it or explains why it does not open.
FILE is one of these; - reads standard input:

  a capture    pcap or pcapng: tcpdump -i any -s 0 -w FILE udp port 8585
  hex text     one datagram a line: > if the board sent it, < if the server did

  --key-file FILE   a key file, may be given more than once; else BEN_KEY_FILE
  --any-key-file    accept a key file that is short or readable by others, as upstream does
  --port N          captures: the port of the server; else conversations are found by their hellos and v2 types
  --json            one JSON document: exchanges with steps, id, request, reply and faults

Without a key, the steps are named and nothing is opened.

Examples:
  ${PROGRAM} decode boards.pcap --key-file key.sec
  sudo tcpdump -i any -s 0 -w - udp port 8585 | ${PROGRAM} decode -

Exit codes: 0 no problem, 1 a problem, 2 wrong usage.`;

export const decode = defineCommand({
  name: 'decode',
  help: HELP,
  options: {
    'key-file': { type: 'string', multiple: true },
    'any-key-file': KEY_OPTIONS['any-key-file'],
    port: { type: 'string' },
  },
  args: ['FILE'],
  required: 1,
  async run({ values, positionals: [path] }, io) {
    const port = values.port === undefined ? undefined : readInteger('port', values.port, 0, 1, 65_535);
    const fromEnv = io.env['BEN_KEY_FILE'];
    const paths = values['key-file'] ?? (fromEnv ? [fromEnv] : []);
    const keys: Buffer[] = [];
    try {
      for (const each of paths) {
        keys.push((await readKey(each, keyFileChecks(values))).key);
      }
      return tellRecording(parse(await readInput(path!, io), port), keys, values.json === true, io);
    } finally {
      keys.forEach((key) => key.fill(0));
    }
  },
});

/** @throws CliFailure */
function tellRecording(recording: Recording, keys: readonly Buffer[], isJson: boolean, io: CliIo): ExitCode {
  const exchanges = decodeExchanges(recording, keys, showProgress(io));
  if (exchanges.length === 0) {
    throw new CliFailure('this recording contains no exchange', {
      hint:
        recording.kind === 'pcap' || recording.kind === 'pcapng'
          ? `${describeSkipped(recording)}If the port of the server is not 8585, name it with --port.`
          : 'It contains no datagram.',
    });
  }
  if (isJson) {
    const { kind, skipped } = recording;
    io.out(printDocument({ recording: kind, keys: keys.map(fingerprint), exchanges, skipped }));
  } else {
    exchanges.forEach((exchange, index) => tell(exchange, index + 1, io));
    tellSummary(exchanges, recording, keys, io);
  }
  return exchanges.some(({ faults }) => faults.length > 0) ? EXIT_CODES.failed : EXIT_CODES.ok;
}

function parse(bytes: Buffer, port: number | undefined): Recording {
  try {
    return readRecording(bytes, port);
  } catch (error) {
    if (error instanceof BenUdpError && error.code === 'BEN_BAD_RECORDING') {
      throw new CliFailure(error.message, { code: error.code, hint: `See: ${PROGRAM} decode --help` });
    }
    throw error;
  }
}

/** Reads at most one chunk more than the largest recording. */
async function readInput(path: string, { stdin }: CliIo): Promise<Buffer> {
  if (path === '-') {
    return collect(stdin);
  }
  try {
    const file = await open(path, 'r');
    try {
      return await collect(file.createReadStream({ autoClose: false }));
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new CliFailure(`"${path}" can't be read (${code})`, {
      code,
      hint: 'Check its name, and that you may read it.',
    });
  }
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_CAPTURE_BYTES) {
      break;
    }
  }
  return Buffer.concat(chunks);
}

/** Shorter runs show no progress. */
const PROGRESS_MS = 1000;

/** The names of both protocols. */
const STEP_WORDS = {
  hello: '1 hello',
  id: '2 id',
  'id-iv': '3 id IV',
  request: '4 request',
  'reply-hash': '5 reply hash',
  'reply-iv': '6 reply IV',
  'reply-ciphertext': '7 reply ciphertext',
  extra: '- extra datagram',
  open: '  OPEN',
  grant: '  GRANT',
  first: '  REQ1',
  further: '  REQ',
  reply: '  REP',
  again: '  AGAIN',
} as const;

function tell(exchange: DecodedExchange, number: number, io: CliIo): void {
  const { protocol, conversation, session, at, steps, faults } = exchange;
  const head = [
    `Exchange ${number}`,
    ...(conversation === '' ? [] : [excerpt(conversation)]),
    ...(at === undefined ? [] : [new Date(at).toISOString()]),
    ...(protocol === 'v1' ? [] : [session === undefined ? 'protocol v2' : `protocol v2, session ${session}`]),
  ];
  io.out(head.join(', '), { format: 'bold' });
  for (const { step, sender, bytes, place, at: stepAt, remark } of steps) {
    const arrow = sender === 'device' ? '>' : '<';
    const elapsed = at === undefined || stepAt === undefined ? '' : ` ${formatElapsed(stepAt - at).padStart(10)} `;
    const columns = `  ${arrow} ${STEP_WORDS[step].padEnd(18)} ${String(bytes).padStart(5)} bytes  ${place.padEnd(12)}${elapsed}`;
    io.out(`${columns} ${remark ?? describeContent(step, exchange)}`.trimEnd());
  }
  for (const { fault, step, message } of faults) {
    io.out(`  ! ${STEP_WORDS[step].slice(2)}: ${message} (${fault})`, { format: 'red' });
  }
}

function describeContent(step: keyof typeof STEP_WORDS, { id, request, noreturn, reply }: DecodedExchange): string {
  switch (step) {
    case 'id-iv':
      return id === undefined ? '' : `id ${describeId(id)}`;
    case 'request':
    case 'first':
    case 'further':
      return request === undefined ? '' : `${excerpt(request)}${noreturn ? ' (expects no reply)' : ''}`;
    case 'reply':
    case 'reply-ciphertext':
      return reply === undefined ? '' : excerpt(reply);
    default:
      return '';
  }
}

/** The time since the first datagram of the exchange. */
function formatElapsed(ms: number): string {
  return `${ms < 0 ? '' : '+'}${ms.toFixed(1)} ms`;
}

/** Shows the progress once a second. */
function showProgress({ platform, progress }: CliIo): (done: number, total: number) => void {
  let shownAt = platform.now();
  return (done, total) => {
    const now = platform.now();
    if (now - shownAt >= PROGRESS_MS) {
      shownAt = now;
      progress(`decoded ${done} of ${total} exchanges`);
    }
  };
}

/** Upstream's ids are decimal, this transport's are bytes. */
function describeId(hex: string): string {
  const text = Buffer.from(hex, 'hex').toString('latin1');
  return /^[!-~]+$/.test(text) ? text : `${hex} (hex)`;
}

function tellSummary(
  exchanges: readonly DecodedExchange[],
  recording: Recording,
  keys: readonly Buffer[],
  io: CliIo,
): void {
  const faulty = exchanges.filter(({ faults }) => faults.length > 0).length;
  const opened = exchanges.filter(({ request, faults }) => request !== undefined && faults.length === 0).length;
  const names = keys.map(fingerprint).join(', ');
  const verdict =
    keys.length === 0
      ? 'steps named, nothing opened: name the key with --key-file'
      : `${opened} opened with key ${names}`;
  io.out('');
  io.out(`${count(exchanges.length, 'exchange')}: ${verdict}${faulty > 0 ? `; ${faulty} with a problem (!)` : ''}.`);
  const extra = exchanges.flatMap(({ steps }) => steps).filter(({ step }) => step === 'extra').length;
  if (extra > 0) {
    io.out(`${count(extra, 'datagram')} of no step: see "extra datagram" above.`);
  }
  const skipped = describeSkipped(recording);
  if (skipped !== '') {
    io.out(skipped.trimEnd());
  }
}

function describeSkipped({ skipped }: Recording): string {
  const reasons = Object.entries(skipped).map(([reason, number]) => `${number} ${reason}`);
  return reasons.length > 0 ? `Skipped packets: ${reasons.join(', ')}.\n` : '';
}
