import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { Test } from '@nestjs/testing';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { afterAll, expect, it } from 'vitest';
import { AppModule } from './app.module.js';

const key = randomBytes(32);
const strategy = new BenUdpTransport({ host: '127.0.0.1', port: 0, key });
let board: VirtualBoard;

afterAll(() => Promise.all([board.close(), strategy.close()]));

it('answers a board', async () => {
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  await module.createNestMicroservice({ strategy }).listen();
  board = await VirtualBoard.start({ key, port: strategy.unwrap().address().port });
  expect(await board.send({ action: 'echo', data: 'hello' })).toBe('hello');
});
