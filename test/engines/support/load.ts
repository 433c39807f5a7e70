/** Many boards that report on their own, and counts of failures, wrong answers and requests that ran twice. */
import { setTimeout as pause } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { VirtualBoard, type VirtualBoardOptions } from '../../../lib/testing/index.js';
import { KEY_CONTENTS } from '../../support/nest-app.js';

/** The request of an exchange, and whether the board waits for its reply, which is the data again. */
export interface LoadRequest {
  readonly action: string;
  readonly noreturn?: boolean;
}

const TICK_MS = 5;

/** The longest pause of the machine that the generator makes up for. To make up for more would be a burst, and another load. */
const CATCH_UP_MS = 50;

/** The address of a board: each of 127.0.0.0/8 is this machine. */
function addressOf(index: number): string {
  return `127.1.${index >> 8}.${index & 255}`;
}

export class Load {
  begun = 0;
  answered = 0;
  failed = 0;
  wrong = 0;
  /** Milliseconds of each answered exchange, in the order of their ends. */
  readonly latencies: number[] = [];
  /** Failures, each with the second of the run in which it began. */
  readonly failures: string[] = [];
  /** How long each failure took. */
  readonly failedMs: number[] = [];
  /** As `performance.now()`; 0 before the first. */
  lastFailedAt = 0;
  private readonly executed = new Map<string, number>();
  private readonly underWay = new Set<Promise<void>>();
  private readonly idle: VirtualBoard[];

  private constructor(private readonly boards: readonly VirtualBoard[]) {
    this.idle = [...boards];
  }

  /** @param keyOf the contents of the key file of a board. By default, all share one. */
  static async start(
    count: number,
    options: Omit<VirtualBoardOptions, 'key' | 'localAddress'>,
    keyOf: (index: number) => Buffer = () => KEY_CONTENTS,
  ): Promise<Load> {
    const boards = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        VirtualBoard.start({ key: keyOf(index), localAddress: addressOf(index), timeout: 2000, ...options }),
      ),
    );
    onTestFinished(async () => {
      await Promise.all(boards.map((board) => board.close()));
    });
    return new Load(boards);
  }

  /** Exchanges that were executed more than once. */
  get twice(): string[] {
    return [...this.executed].filter(([, times]) => times > 1).map(([name]) => name);
  }

  get executions(): number {
    return this.executed.size;
  }

  /** A server has executed the exchange with this name. */
  note(name: string): void {
    this.executed.set(name, (this.executed.get(name) ?? 0) + 1);
  }

  /** Begins this number of exchanges a second until `work` has ended, and waits for the last. */
  async during(
    perSecond: number,
    request: (number: number) => LoadRequest,
    work: () => Promise<unknown>,
  ): Promise<void> {
    const run = { isDone: false };
    const generate = async () => {
      let nextAt = performance.now();
      while (!run.isDone) {
        const now = performance.now();
        nextAt = Math.max(nextAt, now - CATCH_UP_MS);
        for (; nextAt <= now && this.idle.length > 0; nextAt += 1000 / perSecond) {
          this.begin(this.idle.shift()!, request(this.begun));
        }
        await pause(TICK_MS);
      }
    };
    const end = () => {
      run.isDone = true;
    };
    await Promise.all([generate(), work().finally(end)]);
    await Promise.all(this.underWay);
  }

  /** One exchange of each board, `atOnce` at a time. */
  async oneOfEach(action: string, atOnce = 8): Promise<void> {
    const boards = this.boards.values();
    const next = async () => {
      for (const board of boards) {
        await this.exchange(board, { action });
      }
    };
    await Promise.all(Array.from({ length: atOnce }, next));
  }

  private begin(board: VirtualBoard, request: LoadRequest): void {
    const exchange = this.exchange(board, request).finally(() => {
      this.underWay.delete(exchange);
      this.idle.push(board);
    });
    this.underWay.add(exchange);
  }

  private async exchange(board: VirtualBoard, { action, noreturn = false }: LoadRequest): Promise<void> {
    const name = `${board.address.address} ${this.begun++}`;
    const beganAt = performance.now();
    try {
      const answer = await board.send({ action, data: name }, { noreturn });
      if (noreturn || answer === name) {
        this.answered++;
        this.latencies.push(performance.now() - beganAt);
      } else if (answer === null) {
        this.fail(action, beganAt, 'error reply');
      } else {
        this.wrong++;
      }
    } catch (error) {
      this.fail(action, beganAt, (error as Error).message);
    }
  }

  private fail(action: string, beganAt: number, reason: string): void {
    this.failed++;
    this.lastFailedAt = performance.now();
    this.failedMs.push(this.lastFailedAt - beganAt);
    this.failures.push(`${action} at ${(beganAt / 1000).toFixed(2)} s: ${reason}`);
  }
}
