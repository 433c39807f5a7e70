/** What the app counts while the database does not answer. */
import { EventEmitter } from 'node:events';
import type { BenUdpTransport } from 'nestjs-ben-udp';
import { expect, it, vi } from 'vitest';
import { RejectionsService } from '../src/boards/rejections.service.js';
import { RosterService } from '../src/boards/roster.service.js';
import type { Store } from '../src/database/store.js';
import type { StreamService } from '../src/page/stream.service.js';
import type { Settings } from '../src/settings.js';

const stream = { publish: vi.fn() } as unknown as StreamService;
const transport = () => new EventEmitter() as unknown as BenUdpTransport & EventEmitter;
const failure = new Error('the database is away');

it('stores rejections once the database is back', async () => {
  const addRejections = vi.fn().mockRejectedValueOnce(failure);
  const source = transport();
  const service = new RejectionsService(source, { addRejections } as unknown as Store, stream);
  service.onModuleInit();
  const reject = () => source.emit('rejected', { reason: 'bad-hash', remote: { address: '192.0.2.1', port: 1 } });
  reject();
  reject();
  await expect(service.onApplicationShutdown()).rejects.toThrow(failure);
  reject();
  await service.onApplicationShutdown();
  const counts = addRejections.mock.lastCall![0] as Array<{ reason: string; count: number }>;
  expect(counts.map(({ reason }) => reason)).toContain('bad-hash');
  expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(3);
});

it('stores when a board was heard once the database is back', async () => {
  const noteSeen = vi.fn().mockRejectedValueOnce(failure);
  const store = { noteSeen, seenBoards: async () => [] } as unknown as Store;
  const service = new RosterService({} as Settings, transport(), store, stream);
  service.note('hall', '192.0.2.1');
  await expect(service.onApplicationShutdown()).rejects.toThrow(failure);
  await service.onApplicationShutdown();
  expect(noteSeen.mock.lastCall![0]).toEqual([{ name: 'hall', lastSeenAt: expect.any(Number), address: '192.0.2.1' }]);
});
