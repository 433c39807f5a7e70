/** Several transports on several ports in one app, each with a part of the keys: a way out for fleets with very many keys. */
import { Controller } from '@nestjs/common';
import { MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { BenUdpTransport, Device } from 'nestjs-ben-udp';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MovablePlatform } from '../support/movable-platform.js';
import { LogRecorder, startBoard, unanswered } from '../support/nest-app.js';

@Controller()
class Names {
  @MessagePattern('name')
  name(@Device() device: string): string {
    return device;
  }
}

const keyOf = (name: string) => Buffer.alloc(32, name);

/** An app with a transport for each group of names. */
async function startGroups(groups: readonly string[][]): Promise<BenUdpTransport[]> {
  const module = await Test.createTestingModule({ controllers: [Names] })
    .setLogger(new LogRecorder())
    .compile();
  const app = module.createNestApplication();
  const transports = groups.map(
    (names) =>
      new BenUdpTransport({
        host: '127.0.0.1',
        port: 0,
        keys: Object.fromEntries(names.map((name) => [name, keyOf(name)])),
      }),
  );
  transports.forEach((strategy) => app.connectMicroservice<MicroserviceOptions>({ strategy }));
  await app.startAllMicroservices();
  onTestFinished(() => app.close());
  return transports;
}

const portOf = (transport: BenUdpTransport): number => transport.unwrap().address().port;

describe('a group of keys on each port', () => {
  it('answers the boards of both groups with the same controllers, each on its own port', async () => {
    const [north, south] = (await startGroups([['attic'], ['cellar', 'garage']])) as [BenUdpTransport, BenUdpTransport];
    const boards = await Promise.all([
      startBoard(portOf(north), { key: keyOf('attic') }),
      startBoard(portOf(south), { key: keyOf('cellar') }),
      startBoard(portOf(south), { key: keyOf('garage') }),
    ]);
    const names = await Promise.all(boards.map((board) => board.send({ action: 'name' })));
    expect(names).toEqual(['attic', 'cellar', 'garage']);
    expect([north, south].map((transport) => transport.getStats().requests)).toEqual([1, 2]);
  });

  it('tries no key of another group', async () => {
    const [north] = (await startGroups([['attic'], ['cellar']])) as [BenUdpTransport, BenUdpTransport];
    const clock = new MovablePlatform();
    const board = await startBoard(portOf(north), { key: keyOf('cellar') }, clock);
    const isRejected = () => north.getStats().rejected['bad-hash'] === 1;
    expect(await unanswered(clock, board.send({ action: 'name' }), isRejected)).toMatchObject({ code: 'BEN_TIMEOUT' });
  });
});
