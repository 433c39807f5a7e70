/** How long the question of a board is held. */
import { describe, expect, it, vi } from 'vitest';
import { MailboxService } from '../src/boards/mailbox.service.js';
import type { Command, Store } from '../src/database/store.js';
import type { StreamService } from '../src/page/stream.service.js';

const SIGNAL = new AbortController().signal;

/** A mailbox with an open command for `hall`, on a database that takes `ms` to find that it has expired. */
async function startMailbox(ms: number): Promise<MailboxService> {
  const store: Partial<Store> = {
    boardsWithCommands: () => Promise.resolve(['hall']),
    expireCommands: () => Promise.resolve([]),
    takeCommand: () => new Promise<Command | undefined>((resolve) => setTimeout(() => resolve(undefined), ms)),
  };
  const mailbox = new MailboxService(store as Store, { publish: () => undefined } as unknown as StreamService);
  await mailbox.onModuleInit();
  return mailbox;
}

describe('a question that is held', () => {
  it('ends in time for the board, also if the database is slow', async () => {
    vi.useFakeTimers();
    try {
      const mailbox = await startMailbox(3000);
      const begun = Date.now();
      const answer = mailbox.wait('hall', begun + 8000, SIGNAL).then(() => Date.now() - begun);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(await answer).toBe(8000);
      mailbox.onModuleDestroy();
    } finally {
      vi.useRealTimers();
    }
  });
});
