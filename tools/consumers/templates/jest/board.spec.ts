import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { Test } from '@nestjs/testing';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { AppModule } from './app';

const key = randomBytes(32);
const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, keys: { 'board-01': key } });
let board: VirtualBoard;

afterAll(() => Promise.all([board.close(), strategy.close()]));

it('answers a board', async () => {
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  await module.createNestMicroservice({ strategy }).listen();
  board = await VirtualBoard.start({ key, port: strategy.unwrap().address().port });
  expect(await board.send({ action: 'greet', data: { name: 'Ben' } })).toBe('hello Ben on board-01');
});
