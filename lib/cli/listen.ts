/**
 * `listen`: a server that prints requests, and answers with their data or with a fixed text. For a test on the desk: one key, no Nest.
 */
import { formatEndpoint } from '../format-endpoint.js';
import { DEFAULT_BUFFER_SIZE, DEFAULT_HOST, DEFAULT_PORT } from '../constants.js';
import { BenUdpError } from '../errors.js';
import { REJECTIONS, type RejectedDecision, type BenUdpRemote, type VerifiedRequest } from '../exchange/index.js';
import { formatReply, formatUnreadableReply } from '../protocol/index.js';
import type { Listener, ListenerHandlers } from '../server/index.js';
import { listAddresses } from './addresses.js';
import { UsageError, defineCommand, readDuration, readHost, readInteger, reportError } from './command.js';
import { answerWith, bindServer, explainBind } from './echo-server.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo, LineStyle } from './io.js';
import { KEY_HELP, KEY_OPTIONS, loadKey } from './key.js';
import { readJson } from './send.js';
import { PROGRAM, count, excerpt, isDocument, printDocument } from './text.js';

const HELP = `A server that prints requests of boards and answers with the same data, until Ctrl+C.

  --host ADDRESS      bind to this address; default ${DEFAULT_HOST}, all addresses
  --port N            default ${DEFAULT_PORT}; 0 takes any free one
  --answer JSON       answer with this instead: '{"ok": true}'
  --datagram-gap TIME pause between the datagrams of an answer, 0 to 1000 ms: try 5ms if an ESP8266 gets no answer
  --count N           end after N requests
${KEY_HELP}
  --json              one JSON document for each event, each on one line: "listening", "request",
                      "rejected", "closed"

A request is printed as the Python text of the board. A datagram without an answer is printed with the reason.

Examples:
  ${PROGRAM} listen
  ${PROGRAM} listen --answer '{"led": true}' --key-file keys/kitchen.sec

Exit codes: 0 ended by Ctrl+C or --count, 1 not started, 2 wrong usage.`;

const MAX_COUNT = 1_000_000_000;

const PREFIX = 'nestjs-ben-udp listen:';

/** Lines a second about datagrams without an answer. Further ones are only counted, because anyone can send them. */
const MAX_REJECTION_LINES = 10;
const REJECTION_WINDOW_MS = 1000;

/** Time that Ctrl+C waits for requests with a fresh id. */
const DRAIN_MS = 500;

export const listen = defineCommand({
  name: 'listen',
  help: HELP,
  options: {
    ...KEY_OPTIONS,
    host: { type: 'string' },
    port: { type: 'string' },
    answer: { type: 'string' },
    'datagram-gap': { type: 'string' },
    count: { type: 'string' },
  },
  args: [],
  required: 0,
  async run({ values }, io) {
    const host = readHost(values.host, DEFAULT_HOST);
    const port = readInteger('port', values.port, DEFAULT_PORT, 0, 65_535);
    const datagramGap = readDuration('datagram-gap', values['datagram-gap'], 0, 0, 1000);
    const maxRequests = readInteger('count', values.count, Infinity, 1, MAX_COUNT);
    const answer = values.answer === undefined ? undefined : readAnswer(values.answer);
    const { key, fingerprint } = await loadKey(values, io);
    const reporter = new Reporter(values.json === true, io);
    const end = new Ending(maxRequests, io.signal);
    const handlers: ListenerHandlers = {
      onRequest: async (request) => {
        const reply = answerWith(answer ? answer.data : request.data);
        reporter.request(request, reply.text);
        return reply;
      },
      onRejected: (rejected, remote) => reporter.rejected(rejected, remote),
      onRefused: ({ error }) => error && formatUnreadableReply(error, 'null'),
      onEnded: () => end.countRequest(),
      onError: (error) => reportError(PREFIX, (error as Error).message, io),
      onSendError: (error) => reporter.sendError(error),
    };
    const server = await bindServer({ host, port, key, datagramGap }, handlers, io.platform)
      .catch((error: Error): never => {
        throw explainBind(error, host, port);
      })
      // The server has its own copy.
      .finally(() => key.fill(0));
    reporter.listening(server, fingerprint);
    await end.reached;
    await server.drain(DRAIN_MS);
    await server.close();
    reporter.closed(server);
    return EXIT_CODES.ok;
  },
});

/** Checks the answer before the first request. */
function readAnswer(json: string): { readonly data: unknown } {
  const data = readJson(json);
  try {
    formatReply(data, DEFAULT_BUFFER_SIZE);
  } catch (error) {
    throw error instanceof BenUdpError ? new UsageError(`the text of --answer can't be sent: ${error.message}`) : error;
  }
  return { data };
}

/** Ends after Ctrl+C or the last request. */
class Ending {
  readonly reached: Promise<void>;
  private requests = 0;
  private reach: () => void = () => undefined;

  constructor(
    private readonly maxRequests: number,
    signal: AbortSignal,
  ) {
    this.reached = new Promise((resolve) => {
      this.reach = resolve;
    });
    if (signal.aborted) {
      this.reach();
    }
    signal.addEventListener('abort', () => this.reach(), { once: true });
  }

  countRequest(): void {
    if (++this.requests >= this.maxRequests) {
      this.reach();
    }
  }
}

/** Prints events, as lines or as JSON documents. */
class Reporter {
  private windowStart = -Infinity;
  private linesInWindow = 0;
  private untold = 0;

  constructor(
    private readonly isJson: boolean,
    private readonly io: CliIo,
  ) {}

  listening(listener: Listener, fingerprint: string): void {
    const { address, port } = listener.address;
    if (this.isJson) {
      this.document('listening', { address, port, key: fingerprint });
      return;
    }
    this.io.out(`Listening on ${formatEndpoint(address, port)} with key ${fingerprint}. Stop with Ctrl+C.`);
    const isEvery = address === '0.0.0.0' || address === '::';
    const addresses = listAddresses(this.io.interfaces()).filter(({ isLikely }) => isLikely);
    if (isEvery && addresses.length > 0) {
      this.io.out(`Boards reach it at ${addresses.map((each) => formatEndpoint(each.address, port)).join(', ')}.`);
    }
  }

  request({ remote, text, action, data, noreturn, protocol }: VerifiedRequest, reply: string | undefined): void {
    if (this.isJson) {
      const values = { action: jsonOrNothing(action), data: jsonOrNothing(data) };
      const answer = noreturn ? undefined : reply;
      this.document('request', {
        from: formatEndpoint(remote.address, remote.port),
        protocol,
        text,
        ...values,
        noreturn,
        answer,
      });
      return;
    }
    this.line(remote, `${protocol === 'v2' ? 'v2  ' : ''}${excerpt(text)}`);
    this.io.out(`         ${noreturn ? 'the board expects no answer' : `answered ${excerpt(reply ?? '')}`}`);
  }

  rejected({ reason, error }: RejectedDecision, remote: BenUdpRemote): void {
    if (!this.mayTell()) {
      return;
    }
    const why = error ? `${REJECTIONS[reason]}: ${error.message}` : REJECTIONS[reason];
    if (this.isJson) {
      this.document('rejected', { from: formatEndpoint(remote.address, remote.port), reason, message: why });
    } else {
      this.line(remote, `no answer (${reason}): ${why}`, { format: 'yellow' });
    }
  }

  sendError({ message }: Error): void {
    if (this.mayTell()) {
      reportError(PREFIX, `a datagram could not be sent: ${message}`, this.io);
    }
  }

  /** Whether to print one more line about an event that anyone can cause. Otherwise counts it. */
  private mayTell(): boolean {
    const now = this.io.platform.now();
    if (now - this.windowStart >= REJECTION_WINDOW_MS) {
      this.windowStart = now;
      this.linesInWindow = 0;
      this.tellUntold();
    }
    if (this.linesInWindow >= MAX_REJECTION_LINES) {
      this.untold++;
      return false;
    }
    this.linesInWindow++;
    return true;
  }

  closed(server: Listener): void {
    const { requests, rejected } = server.stats();
    const without = Object.values(rejected).reduce((sum, number) => sum + number, 0);
    this.tellUntold();
    if (this.isJson) {
      this.document('closed', { requests, rejected: without });
    } else {
      this.io.out(`Closed after ${count(requests, 'request')} and ${count(without, 'datagram')} without an answer.`);
    }
  }

  private tellUntold(): void {
    const { untold } = this;
    this.untold = 0;
    if (untold > 0 && this.isJson) {
      this.document('rejected', { untold });
    } else if (untold > 0) {
      this.io.out(`         … and ${count(untold, 'more datagram')} without an answer`);
    }
  }

  private line({ address, port }: BenUdpRemote, text: string, style?: LineStyle): void {
    const time = new Date(this.io.platform.wallClock()).toTimeString().slice(0, 8);
    this.io.out(`${time} ${formatEndpoint(address, port)}  ${text}`, style);
  }

  private document(event: string, facts: Readonly<Record<string, unknown>>): void {
    this.io.out(printDocument({ event, at: new Date(this.io.platform.wallClock()).toISOString(), ...facts }));
  }
}

/** The value if it has a JSON form. Otherwise the document has only `text`. */
function jsonOrNothing(value: unknown): unknown {
  return isDocument({ value }) ? value : undefined;
}
