/**
 * `fleet`: many virtual boards that send requests to a server, to see its load without hardware.
 */
import { DEFAULT_PORT, DEFAULT_TIMEOUT_MS, MAX_OPTION_MS } from '../constants.js';
import type { BenUdpProtocol } from '../exchange/index.js';
import { formatEndpoint } from '../format-endpoint.js';
import { DEFAULT_KEY_FILE, readKeyFile } from '../keys/index.js';
import { VirtualBoard } from '../testing/index.js';
import { CliFailure, UsageError, defineCommand, readDuration } from './command.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo } from './io.js';
import { KEY_HELP, KEY_OPTIONS, keyFileChecks, keyPath, rethrowExplained } from './key.js';
import { formatText, parseTarget, readJson } from './send.js';
import { PROGRAM, percentile, printDocument } from './text.js';

/** The longest time for which a board of v2 waits. */
const MAX_V2_TIMEOUT_MS = 15_000;

const HELP = `Runs N virtual boards that send requests to a server, until Ctrl+C. Shows each second how many requests were sent,
answered and lost, and the median time of an answer. The boards share one key.
The default server is 127.0.0.1:${DEFAULT_PORT}.

  --v2              boards of protocol v2
  --action NAME     the action of the requests; default echo
  --data JSON       their data; default null
  --interval TIME   each board sends one request per TIME, 1ms to 24h; default 1s
  --duration TIME   end after TIME; default: Ctrl+C
  --timeout TIME    timeout of each step; default ${DEFAULT_TIMEOUT_MS / 1000}s. With --v2 of a request, at most ${MAX_V2_TIMEOUT_MS / 1000}s
${KEY_HELP}
  --json            one JSON document per second, then one with "total": true

Examples:
  ${PROGRAM} listen & ${PROGRAM} fleet 100
  ${PROGRAM} fleet 1000 192.168.1.10 --interval 10s --duration 1m

Exit codes: 0 ended, 1 not started, 2 wrong usage, 3 no answer arrived.`;

const MAX_BOARDS = 10_000;

/** How often the numbers are shown. */
const REPORT_MS = 1000;

/** Latest times of answers that the median is computed from. */
const MAX_LATENCIES = 10_000;

interface Plan {
  readonly boards: number;
  readonly host: string;
  readonly port: number;
  readonly text: string;
  readonly protocol: BenUdpProtocol;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export const fleet = defineCommand({
  name: 'fleet',
  args: ['N', 'HOST[:PORT]'],
  required: 1,
  help: HELP,
  options: {
    ...KEY_OPTIONS,
    v2: { type: 'boolean' },
    action: { type: 'string' },
    data: { type: 'string' },
    interval: { type: 'string' },
    duration: { type: 'string' },
    timeout: { type: 'string' },
  },
  async run({ values, positionals: [number, target = '127.0.0.1'] }, io) {
    const boards = /^\d{1,5}$/.test(number!) ? Number(number) : 0;
    if (boards < 1 || boards > MAX_BOARDS) {
      throw new UsageError(`N is a whole number from 1 to ${MAX_BOARDS}`);
    }
    const { host, port } = parseTarget(target);
    const data = values.data === undefined ? null : readJson(values.data);
    const plan: Plan = {
      boards,
      host,
      port,
      text: formatText({ action: values.action ?? 'echo', data }),
      protocol: values.v2 ? 'v2' : 'v1',
      intervalMs: readDuration('interval', values.interval, 1000, 1, MAX_OPTION_MS),
      timeoutMs: readDuration(
        'timeout',
        values.timeout,
        DEFAULT_TIMEOUT_MS,
        10,
        values.v2 ? MAX_V2_TIMEOUT_MS : MAX_OPTION_MS,
      ),
    };
    const durationMs = readDuration('duration', values.duration, Infinity, 1, MAX_OPTION_MS);
    const path = keyPath(values, io) ?? DEFAULT_KEY_FILE;
    const { bytes: key } = await readKeyFile(path, keyFileChecks(values)).catch(rethrowExplained(path));
    const running = await Fleet.start(plan, key, io);
    key.fill(0);
    await running.run(durationMs, values.json === true);
    return running.answered > 0 ? EXIT_CODES.ok : EXIT_CODES.noAnswer;
  },
});

class Fleet {
  answered = 0;
  private asked = 0;
  private lost = 0;
  private isEnded = false;
  private readonly latencies: number[] = [];
  private readonly boards: VirtualBoard[] = [];
  /** Cancels the next request of each board, and the next report. Bounded by the number of boards plus one. */
  private readonly timers = new Set<() => void>();

  private constructor(
    private readonly plan: Plan,
    private readonly io: CliIo,
  ) {}

  /** @throws CliFailure */
  static async start(plan: Plan, key: Uint8Array, io: CliIo): Promise<Fleet> {
    const started = new Fleet(plan, io);
    const { host, port, protocol, timeoutMs: timeout } = plan;
    const localAddress = host.includes(':') ? '::' : '0.0.0.0';
    try {
      for (let index = 0; index < plan.boards && !io.signal.aborted; index++) {
        started.boards.push(
          await VirtualBoard.start({ key, host, port, protocol, timeout, localAddress }, io.platform),
        );
      }
    } catch (error) {
      await started.close();
      const { code = 'unknown' } = error as NodeJS.ErrnoException;
      throw new CliFailure(`board ${started.boards.length + 1} could not start (${code})`, {
        code,
        hint:
          code === 'EMFILE'
            ? 'Each board needs a socket. Allow more open files with "ulimit -n", or use fewer boards.'
            : 'Check the name of the host, and that this machine is on the network.',
      });
    }
    return started;
  }

  /** Runs until Ctrl+C or the end of the duration, and prints the numbers. */
  async run(durationMs: number, isJson: boolean): Promise<void> {
    const { signal, platform } = this.io;
    const { boards, intervalMs, host, port } = this.plan;
    if (!isJson) {
      const senders = boards === 1 ? '1 board sends' : `${boards} boards send`;
      this.io.out(`${senders} to ${formatEndpoint(host, port)}. Stop with Ctrl+C.`);
    }
    const begin = platform.now();
    const seconds = () => Math.round((platform.now() - begin) / 100) / 10;
    const report = () => {
      this.tell(seconds(), isJson, false);
      this.later(report, REPORT_MS);
    };
    await new Promise<void>((end) => {
      if (signal.aborted) {
        end();
        return;
      }
      signal.addEventListener('abort', () => end(), { once: true });
      if (durationMs !== Infinity) {
        this.later(end, durationMs);
      }
      // Spread over the interval, because real boards are not started together.
      this.boards.forEach((board, index) => this.later(() => this.ask(board), (index * intervalMs) / boards));
      this.later(report, REPORT_MS);
    });
    await this.close();
    this.tell(seconds(), isJson, true);
  }

  private ask(board: VirtualBoard): void {
    const { platform } = this.io;
    const { text, intervalMs } = this.plan;
    const begin = platform.now();
    this.asked++;
    board
      .exchange(text)
      .then(
        () => this.end(platform.now() - begin),
        () => this.end(undefined),
      )
      .finally(() => {
        // A slow answer delays the next request of the board.
        this.later(() => this.ask(board), Math.max(0, intervalMs - (platform.now() - begin)));
      });
  }

  private end(latencyMs: number | undefined): void {
    if (this.isEnded) {
      // Cut off by the end of the command, and neither answered nor lost.
      this.asked--;
    } else if (latencyMs === undefined) {
      this.lost++;
    } else {
      this.latencies[this.answered % MAX_LATENCIES] = latencyMs;
      this.answered++;
    }
  }

  private later(callback: () => void, ms: number): void {
    if (!this.isEnded) {
      const cancel = this.io.platform.schedule(() => {
        this.timers.delete(cancel);
        callback();
      }, ms);
      this.timers.add(cancel);
    }
  }

  private tell(seconds: number, isJson: boolean, isTotal: boolean): void {
    const { asked, answered, lost } = this;
    const p50 = percentile(this.latencies, 0.5);
    if (isJson) {
      this.io.out(
        printDocument({ seconds, asked, answered, lost, p50Ms: Math.round(p50 * 1000) / 1000, total: isTotal }),
      );
      return;
    }
    const median = Number.isNaN(p50) ? '-' : `${p50.toFixed(1)} ms`;
    const line = `${seconds.toFixed(1)} s: ${asked} asked, ${answered} answered, ${lost} lost, p50 ${median}`;
    if (isTotal) {
      this.io.out(line);
    } else {
      this.io.progress(line);
    }
  }

  private async close(): Promise<void> {
    this.isEnded = true;
    this.timers.forEach((cancel) => cancel());
    await Promise.all(this.boards.map((board) => board.close()));
    // Lets the exchanges that were cut off end.
    await new Promise<void>((resolve) => this.io.platform.afterTurn(resolve));
  }
}
