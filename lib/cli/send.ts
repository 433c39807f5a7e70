/**
 * `send`: sends a request as a device does, and prints the answer.
 */
import { isIP, isIPv6 } from 'node:net';
import { formatEndpoint } from '../format-endpoint.js';
import { DEFAULT_PORT, DEFAULT_TIMEOUT_MS, MAX_OPTION_MS } from '../constants.js';
import { BenUdpError, BenUdpRequestError } from '../errors.js';
import { printable, printableLine } from '../printable.js';
import { type Reply, formatRequest, parseJson, readReply } from '../protocol/index.js';
import { type CliClient, createClient } from './client.js';
import { CliFailure, UsageError, defineCommand, readDuration, readInteger } from './command.js';
import { EXIT_CODES, type ExitCode } from './exit-code.js';
import type { CliIo } from './io.js';
import { type CliKey, KEY_HELP, KEY_OPTIONS, loadKey } from './key.js';
import { PROGRAM, count, isDocument, percentile, printDocument } from './text.js';

const MIN_TIMEOUT_MS = 10;
const MAX_COUNT = 1_000_000;

const HELP = `Sends a request as a board does, and prints the answer: a text as it is, anything else as JSON.
The default port is ${DEFAULT_PORT}. An IPv6 address with a port is [::1]:8585. JSON is the data: '"hi"', -3.5, '{"a": 1}'.

  --v2              use protocol v2, as device/ben2.py: the answer is authentic
  --noreturn        do not wait for an answer (the server has an event handler); prints nothing. With --v2 the server
                    acknowledges it
  --timeout TIME    timeout of each step, ${MIN_TIMEOUT_MS}ms to 24h; default ${DEFAULT_TIMEOUT_MS / 1000}s. With --v2 at most 15s counts
  --latency         print the time of the exchange on standard error
  --count N         send N requests, one after the other; stops at the first failure
  --local-port N    send from this port: upstream's own server answers to its own port number
  --local-address A send from this address of this machine
${KEY_HELP}
  --json            one JSON document for each request, each on one line:
                    {"outcome": "answered", "data": …, "latencyMs": …}, or "error-reply" with "error",
                    "sent" for --noreturn, "failed" with "code", "step" and "message"

Examples:
  ${PROGRAM} send 192.168.1.10 echo '"hello"' --v2
  ${PROGRAM} send server.local:9000 dhtsensor '{"celsius": 21.5}' --noreturn

Exit codes: 0 answered or sent, 1 not sent, 2 wrong usage, 3 no answer, 4 the server answered with an error, 130 Ctrl+C.`;

interface Plan {
  readonly host: string;
  readonly port: number;
  readonly action: string;
  readonly text: string;
  readonly isV2: boolean;
  readonly noreturn: boolean;
  readonly timeoutMs: number;
  readonly count: number;
  readonly localPort: number;
  readonly localAddress: string | undefined;
  readonly tellsLatency: boolean;
  readonly isJson: boolean;
}

export const send = defineCommand({
  name: 'send',
  help: HELP,
  options: {
    ...KEY_OPTIONS,
    v2: { type: 'boolean' },
    noreturn: { type: 'boolean' },
    timeout: { type: 'string' },
    latency: { type: 'boolean' },
    count: { type: 'string' },
    'local-port': { type: 'string' },
    'local-address': { type: 'string' },
  },
  args: ['HOST[:PORT]', 'ACTION', 'JSON'],
  required: 2,
  async run({ values, positionals }, io) {
    const [target, action, json] = positionals;
    const { host, port } = parseTarget(target!);
    const noreturn = values.noreturn === true;
    const data = json === undefined ? undefined : readJson(json);
    const plan: Plan = {
      host,
      port,
      action: action!,
      isV2: values.v2 === true,
      noreturn,
      text: formatText({ action: action!, data, noreturn }),
      timeoutMs: readDuration('timeout', values.timeout, DEFAULT_TIMEOUT_MS, MIN_TIMEOUT_MS, MAX_OPTION_MS),
      count: readInteger('count', values.count, 1, 1, MAX_COUNT),
      localPort: readInteger('local-port', values['local-port'], 0, 1, 65_535),
      localAddress: readAddress(values['local-address'], host),
      tellsLatency: values.latency === true,
      isJson: values.json === true,
    };
    const key = await loadKey(values, io);
    // The client has its own copy.
    const client = await openClient(plan, key, io).finally(() => key.key.fill(0));
    try {
      return await askAll(plan, key, client, io);
    } finally {
      await client.close();
    }
  },
});

/**
 * `HOST`, `HOST:PORT`, `[IPv6]:PORT` or a bare IPv6 address.
 *
 * @throws UsageError
 */
export function parseTarget(target: string): { readonly host: string; readonly port: number } {
  const [, inBrackets, plain, digits] =
    /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(target) ?? (isIPv6(target) ? [target, target] : []);
  const host = inBrackets ?? plain;
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (!host || port < 1 || port > 65_535) {
    throw new UsageError('HOST[:PORT] is a name or an address, with a port from 1 to 65535');
  }
  if (host === '0.0.0.0' || host === '::') {
    throw new UsageError(`a request can't be sent to ${host}: use 127.0.0.1 for a server on this machine`);
  }
  return { host, port };
}

/** @throws UsageError */
export function readJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new UsageError(`the data is not JSON. A text needs quotes inside the quotes of the shell: '"hi"'`);
  }
}

function readAddress(address: string | undefined, host: string): string | undefined {
  if (address !== undefined && (isIP(address) === 0 || (isIP(host) !== 0 && isIP(host) !== isIP(address)))) {
    throw new UsageError('--local-address is an IP address of the same family as HOST');
  }
  return address;
}

/** @throws UsageError */
export function formatText(request: Parameters<typeof formatRequest>[0]): string {
  try {
    return formatRequest(request);
  } catch (error) {
    throw error instanceof BenUdpError ? new UsageError(`the request can't be sent: ${error.message}`) : error;
  }
}

function openClient(
  { isV2, host, port, localPort, localAddress, timeoutMs }: Plan,
  { key }: CliKey,
  { platform }: CliIo,
): Promise<CliClient> {
  const target = { host, port, localPort, localAddress };
  return createClient(target, isV2 ? 'v2' : 'v1', key, platform, timeoutMs).catch((error: unknown): never => {
    if (error instanceof BenUdpError && error.code === 'BEN_HOST_UNKNOWN') {
      // The system has not answered yet if it gave no reason.
      const isLate = error.cause === undefined;
      throw new CliFailure(`the host "${host}" is not known${isLate ? `: no answer within ${timeoutMs} ms` : ''}`, {
        code: error.code,
        hint: isLate ? 'Use its address, or check the name server.' : 'Check the spelling, or use its address.',
      });
    }
    throw error;
  });
}

async function askAll(plan: Plan, key: CliKey, client: CliClient, io: CliIo): Promise<ExitCode> {
  const latencies: number[] = [];
  let exitCode: ExitCode = EXIT_CODES.ok;
  while (exitCode === EXIT_CODES.ok && latencies.length < plan.count) {
    const begin = io.platform.now();
    const text = await ask(plan, key, client, io);
    if (text === INTERRUPTED) {
      exitCode = EXIT_CODES.interrupted;
      break;
    }
    latencies.push(io.platform.now() - begin);
    exitCode = tell(text, latencies.at(-1)!, plan, io);
  }
  if (plan.tellsLatency && latencies.length > 0) {
    io.err(describeLatencies(latencies, plan.noreturn ? 'sent' : 'answered'));
  }
  return exitCode;
}

const INTERRUPTED = Symbol('interrupted');

const ERROR_PREFIX = 'The server answered with an error:';

/** The text of the reply; `undefined` for `--noreturn`. */
async function ask(
  { action, text, isV2, noreturn, timeoutMs, host, port }: Plan,
  { fingerprint }: CliKey,
  client: CliClient,
  { signal }: CliIo,
): Promise<string | undefined | typeof INTERRUPTED> {
  try {
    const request = { text, noreturn, pattern: action, timeout: timeoutMs, retries: 0, idempotent: false };
    return await client.request(request, signal);
  } catch (error) {
    if (signal.aborted) {
      return INTERRUPTED;
    }
    if (!(error instanceof BenUdpRequestError)) {
      throw error;
    }
    const server = formatEndpoint(host, port);
    throw (isV2 && explainV2Request(error, server, fingerprint)) || explainRequest(error, server, fingerprint);
  }
}

function tell(text: string | undefined, latencyMs: number, { isJson, noreturn }: Plan, io: CliIo): ExitCode {
  const reply: Reply | undefined = text === undefined ? undefined : readReply(text);
  const isError = reply !== undefined && 'error' in reply;
  if (isJson) {
    const outcome = noreturn ? 'sent' : isError ? 'error-reply' : 'answered';
    const told = isDocument(reply) ? reply : { text };
    io.out(printDocument({ outcome, ...told, latencyMs: roundMs(latencyMs) }));
  } else if (isError) {
    io.err(`${ERROR_PREFIX} ${printableLine(printValue(reply.error, text!))}`, {
      format: 'red',
      length: ERROR_PREFIX.length,
    });
  } else if (reply) {
    io.out(printable(printValue(reply.data, text!)));
  }
  return isError ? EXIT_CODES.errorReply : EXIT_CODES.ok;
}

/** A text as it is, anything else as JSON. If a value is nested too deeply for that: the JSON text of the whole reply. */
function printValue(value: unknown, reply: string): string {
  return typeof value === 'string' ? value : isDocument(value) ? printDocument(value) : reply;
}

function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function describeLatencies(latencies: readonly number[], verb: string): string {
  const sorted = latencies.toSorted((a, b) => a - b);
  const show = (ms: number) => `${ms.toFixed(1)} ms`;
  if (sorted.length === 1) {
    return `${verb} in ${show(sorted[0]!)}`;
  }
  const median = percentile(sorted, 0.5);
  const [first, last] = [sorted[0]!, sorted.at(-1)!];
  return `${count(sorted.length, 'request')} ${verb}: least ${show(first)}, median ${show(median)}, most ${show(last)}`;
}

/** Explains a failed request by its code and its last step. */
function explainRequest(error: BenUdpRequestError, server: string, fingerprint: string): CliFailure {
  const { code, step, elapsedMs } = error;
  const isNoAnswer = NO_ANSWER_CODES.has(code);
  const about = {
    code,
    exitCode: isNoAnswer ? EXIT_CODES.noAnswer : EXIT_CODES.failed,
    facts: { step, elapsedMs },
  };
  if (code === 'BEN_BAD_REPLY') {
    return new CliFailure(`${server} answered, but with another key or to another request`, {
      ...about,
      hint: `The key here is ${fingerprint}. Does the server have the same one?`,
    });
  }
  if (code === 'BEN_REFUSED') {
    return new CliFailure(`${server} refused the request: no program listens on that port`, {
      ...about,
      hint: CLOSED_PORT,
    });
  }
  if (code === 'BEN_TIMEOUT') {
    return step === 'hello' || step === 'id'
      ? new CliFailure(`${server} did not answer within ${elapsedMs} ms`, { ...about, hint: SILENT_SERVER })
      : new CliFailure(`${server} issued an id, but did not answer the request within ${elapsedMs} ms`, {
          ...about,
          hint: otherKeyOrSlow(fingerprint),
        });
  }
  const reason = (error.cause as Error | undefined)?.message;
  return new CliFailure(reason ? `the request could not be sent: ${reason}` : error.message, {
    ...about,
    hint:
      code === 'BEN_SOCKET'
        ? 'Check that this machine is on the network, and that the port of --local-port is free.'
        : '',
  });
}

/** The v2 form of `explainRequest`: an opened session shows that the key is right. */
function explainV2Request(error: BenUdpRequestError, server: string, fingerprint: string): CliFailure | undefined {
  const { code, step, elapsedMs } = error;
  const about = { code, exitCode: EXIT_CODES.noAnswer, facts: { step, elapsedMs } };
  if (code === 'BEN_TIMEOUT') {
    return step === 'hello'
      ? new CliFailure(`${server} did not answer the opening of a session within ${elapsedMs} ms`, {
          ...about,
          hint: otherKeyOrV1(fingerprint),
        })
      : new CliFailure(`${server} opened a session, but did not answer the request within ${elapsedMs} ms`, {
          ...about,
          hint: MAY_HAVE_RUN,
        });
  }
  // A cause is the error of the system: no program listens on the port.
  return code === 'BEN_REFUSED' && error.cause === undefined
    ? new CliFailure(`${server} refused the request, and did not run it`, { ...about, hint: REFUSED_V2 })
    : undefined;
}

const MAY_HAVE_RUN = `The key is right, and the request may have run. Its handler takes longer than --timeout, or the server does not
answer errors.`;

const REFUSED_V2 = 'The server is closing. Try again when it has started again.';

function otherKeyOrV1(fingerprint: string): string {
  return `Most often the server has another key, because it does not answer then. The key here is ${fingerprint}; the server logs
its own when it starts. Or the server supports only v1: try without --v2. Or no server listens there.`;
}

const NO_ANSWER_CODES: ReadonlySet<string> = new Set(['BEN_TIMEOUT', 'BEN_BAD_REPLY', 'BEN_REFUSED']);

const CLOSED_PORT = 'Start the server, or correct address and port. The server logs its port when it starts.';

const SILENT_SERVER = `Check that a server listens there, that address and port are right, and that no firewall drops UDP.
On the machine of the server, "${PROGRAM} doctor" checks all three.`;

function otherKeyOrSlow(fingerprint: string): string {
  return `Most often the server has another key, because it does not answer then. The key here is ${fingerprint}; the server logs
its own when it starts. Or its handler takes longer than --timeout, or the server does not answer errors.`;
}
