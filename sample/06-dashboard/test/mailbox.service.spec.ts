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

it('accepts an acknowledgement of a board without open commands, and asks the database once for it', async () => {
  const finishCommand = vi.fn(async () => COMMAND);
  const publish = vi.fn();
  const store = { boardsWithCommands: async () => [], finishCommand };
  const mailbox = new MailboxService(store as unknown as Store, { publish } as unknown as StreamService);
  onTestFinished(() => mailbox.onModuleDestroy());
  await mailbox.onModuleInit();

  // It expired after the board had fetched it.
  await mailbox.acknowledge('hall', '1', null);
  expect(publish).toHaveBeenCalledWith('command', COMMAND);
  await mailbox.acknowledge('hall', '1', null);
  expect(finishCommand).toHaveBeenCalledTimes(1);
  await mailbox.acknowledge('roof', '1', null);
  await mailbox.acknowledge('hall', '2', null);
  expect(finishCommand).toHaveBeenCalledTimes(3);
});
