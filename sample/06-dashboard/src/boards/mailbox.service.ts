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
  /** Ends the waiting of a board. */
  private readonly waiting = new Map<string, () => void>();
  private readonly timer = setInterval(() => void this.expire(), EXPIRE_MS).unref();
  private isClosing = false;

  constructor(
    private readonly store: Store,
    private readonly stream: StreamService,
  ) {}

  async onModuleInit(): Promise<void> {
    for (const board of await this.store.boardsWithCommands()) {
      this.pending.add(board);
    }
  }

  /** Boards that wait get their reply now, and the transport need not wait for them. */
  onModuleDestroy(): void {
    this.isClosing = true;
    clearInterval(this.timer);
    this.waiting.forEach((end) => end());
  }

  async queue(board: string, name: string, data: unknown, lifeMs = DEFAULT_LIFE_MS): Promise<Command> {
    const now = Date.now();
    const id = randomBytes(8).toString('hex');
    const command = await this.store.queueCommand({ id, board, name, data, createdAt: now, expiresAt: now + lifeMs });
    this.pending.add(board);
    this.stream.publish('command', command);
    this.waiting.get(board)?.();
    return command;
  }

  /** The next command at once, if there is one. */
  async take(board: string): Promise<Letter | null> {
    if (!this.pending.has(board)) {
      return null;
    }
    const command = await this.store.takeCommand(board, Date.now());
    if (command === undefined) {
      this.pending.delete(board);
      return null;
    }
    this.stream.publish('command', command);
    const { id, name, data } = command;
    return { id, name, data };
  }

  /** The next command, or `null` after `holdMs`, on `signal`, at the board's next question, and when the app ends. */
  async wait(board: string, holdMs: number): Promise<Letter | null> {
    const letter = await this.take(board);
    if (letter !== null || holdMs === 0 || this.isClosing) {
      return letter;
    }
    await this.pause(board, holdMs);
    return this.isClosing ? null : this.take(board);
  }

  async acknowledge(board: string, id: string, result: unknown): Promise<void> {
    const command = await this.store.finishCommand(board, id, result, Date.now());
    if (command !== undefined) {
      this.stream.publish('command', command);
    }
  }

  private pause(board: string, holdMs: number): Promise<void> {
    this.waiting.get(board)?.();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        if (this.waiting.get(board) === end) {
          this.waiting.delete(board);
        }
        resolve();
      };
      const timer = setTimeout(end, holdMs);
      this.waiting.set(board, end);
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
