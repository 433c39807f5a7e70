import { expect, it, onTestFinished, vi } from 'vitest';
import { MailboxService } from '../src/boards/mailbox.service.js';
import type { Store } from '../src/database/store.js';
import type { StreamService } from '../src/page/stream.service.js';

const COMMAND = { id: '1', name: 'led', data: null };

it('hands out a command that is queued while an older query still looks for one', async () => {
  const answers: Array<(command: typeof COMMAND | undefined) => void> = [];
  const takeCommand = vi.fn(() => new Promise((resolve) => answers.push(resolve)));
  const store = {
    boardsWithCommands: async () => ['hall'],
    queueCommand: async () => COMMAND,
    takeCommand,
  };
  const mailbox = new MailboxService(store as unknown as Store, { publish: vi.fn() } as unknown as StreamService);
  onTestFinished(() => mailbox.onModuleDestroy());
  await mailbox.onModuleInit();

  const early = mailbox.take('hall');
  await mailbox.queue('hall', 'led', null);
  answers[0]!(undefined);
  expect(await early).toBeNull();
  const late = mailbox.take('hall');
  expect(takeCommand).toHaveBeenCalledTimes(2);
  answers[1]!(COMMAND);
  expect(await late).toEqual(COMMAND);
});
