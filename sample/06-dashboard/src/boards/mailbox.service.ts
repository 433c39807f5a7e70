import { randomBytes } from 'node:crypto';
import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type Command, Store } from '../database/store.js';
import { StreamService } from '../page/stream.service.js';

/** A board waits 10 s for a reply, and the transport sends none after 9. */
export const HOLD_MS = 8000;

/** A board that is off for longer gets the command never: nobody expects it any more. */
export const DEFAULT_LIFE_MS = 3_600_000;

const EXPIRE_MS = 5000;

/** A command as the board gets it. */
export interface Letter {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
}

/**
 * Commands for boards. A board can't be called, so it asks, and the question is held until there is a command. A command is handed out
 * until the board acknowledges its id: at least once from here, and at most once on the board, which knows the last id.
 */
@Injectable()
export class MailboxService implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger('Mailbox');
  /** Boards with open commands. The others cost no query. */
  private readonly pending = new Set<string>();
  /** Commands so far, which tells if one was queued during a query. */
  private queued = 0;
  /** Ends the waiting of a board, whose reply then takes a command if `isAsked`. */
  private readonly waiting = new Map<string, (isAsked: boolean) => void>();
  /** The last id that each board has acknowledged: it repeats it, because it can't know if it has arrived. */
  private readonly acknowledged = new Map<string, string>();
  private readonly timer = setInterval(() => void this.expire(), EXPIRE_MS).unref();

  constructor(
    private readonly store: Store,
    private readonly stream: StreamService,
  ) {}

  async onModuleInit(): Promise<void> {
    for (const board of await this.store.boardsWithCommands()) {
      this.pending.add(board);
    }
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  async queue(board: string, name: string, data: unknown, lifeMs = DEFAULT_LIFE_MS): Promise<Command> {
    const now = Date.now();
    const id = randomBytes(8).toString('hex');
    const command = await this.store.queueCommand({ id, board, name, data, createdAt: now, expiresAt: now + lifeMs });
    this.queued++;
    this.pending.add(board);
    this.stream.publish('command', command);
    this.waiting.get(board)?.(true);
    return command;
  }

  /** The next command at once, if there is one. */
  async take(board: string): Promise<Letter | null> {
    if (!this.pending.has(board)) {
      return null;
    }
    const before = this.queued;
    const command = await this.store.takeCommand(board, Date.now());
    if (command === undefined) {
      if (this.queued === before) {
        this.pending.delete(board);
      }
      return null;
    }
    this.stream.publish('command', command);
    const { id, name, data } = command;
    return { id, name, data };
  }

  /**
   * The next command, or `null` at `end`, in milliseconds since the epoch. Also `null`, and no command is taken, if `signal` fires or the
   * board asks from another socket meanwhile: nobody waits for this reply.
   */
  async wait(board: string, end: number, signal: AbortSignal): Promise<Letter | null> {
    const letter = await this.take(board);
    const holdMs = end - Date.now();
    if (letter !== null || holdMs <= 0) {
      return letter;
    }
    return (await this.pause(board, holdMs, signal)) ? this.take(board) : null;
  }

  /** Also after the command has expired: the page then tells that it ran. A repetition costs no query. */
  async acknowledge(board: string, id: string, result: unknown): Promise<void> {
    if (this.acknowledged.get(board) === id) {
      return;
    }
    const command = await this.store.finishCommand(board, id, result, Date.now());
    this.acknowledged.set(board, id);
    if (command !== undefined) {
      this.stream.publish('command', command);
    }
  }

  private pause(board: string, holdMs: number, signal: AbortSignal): Promise<boolean> {
    this.waiting.get(board)?.(false);
    return new Promise((resolve) => {
      const end = (isAsked: boolean) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
        if (this.waiting.get(board) === end) {
          this.waiting.delete(board);
        }
        resolve(isAsked);
      };
      const giveUp = () => end(false);
      const timer = setTimeout(() => end(true), holdMs);
      signal.addEventListener('abort', giveUp);
      this.waiting.set(board, end);
      if (signal.aborted) {
        giveUp();
      }
    });
  }

  private async expire(): Promise<void> {
    try {
      for (const command of await this.store.expireCommands(Date.now())) {
        this.stream.publish('command', command);
      }
    } catch (error) {
      this.logger.error(error);
    }
  }
}
