import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { Store } from '../database/store.js';
import { StreamService } from '../page/stream.service.js';
import { SETTINGS, type Settings } from '../settings.js';

const KEY_FILE_ENDING = '.sec';

/** After a crash the time at which a board was last heard may be this much too old. Its readings are not. */
const SAVE_MS = 5000;

export interface Heard {
  readonly board: string;
  readonly at: number;
  readonly address: string;
}

/** Every board that has a key, and when each was last heard. */
@Injectable()
export class RosterService implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger('Roster');
  private readonly heard = new Map<string, Heard>();
  private readonly unsaved = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly transport: BenUdpTransport,
    private readonly store: Store,
    private readonly stream: StreamService,
  ) {}

  async onModuleInit(): Promise<void> {
    for (const { name, lastSeenAt, address } of await this.store.seenBoards()) {
      this.heard.set(name, { board: name, at: lastSeenAt, address });
    }
    this.transport.on('exchange', ({ device, remote }) => device !== undefined && this.note(device, remote.address));
  }

  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.timer);
    await this.save();
  }

  note(board: string, address: string): void {
    const heard = { board, at: Date.now(), address };
    this.heard.set(board, heard);
    this.stream.publish('heard', heard, board);
    this.unsaved.add(board);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.save().catch((error: unknown) => this.logger.error(error));
    }, SAVE_MS);
  }

  /** The names of the key files, and of boards that had one. */
  async list(): Promise<Array<{ name: string; hasKey: boolean; lastSeenAt: number | null; address: string | null }>> {
    const keys = new Set(await this.keyNames());
    const names = [...new Set([...keys, ...this.heard.keys()])].toSorted();
    return names.map((name) => {
      const heard = this.heard.get(name);
      return { name, hasKey: keys.has(name), lastSeenAt: heard?.at ?? null, address: heard?.address ?? null };
    });
  }

  async keyNames(): Promise<string[]> {
    const files = await readdir(this.settings.keyFolder);
    return files
      .filter((name) => name.endsWith(KEY_FILE_ENDING) && !name.startsWith('.'))
      .map((name) => basename(name, KEY_FILE_ENDING));
  }

  private async save(): Promise<void> {
    const seen = [...this.unsaved].map((name) => this.heard.get(name)!);
    this.unsaved.clear();
    try {
      await this.store.noteSeen(seen.map(({ board, at, address }) => ({ name: board, lastSeenAt: at, address })));
    } catch (error) {
      seen.forEach(({ board }) => this.unsaved.add(board));
      throw error;
    }
  }
}
