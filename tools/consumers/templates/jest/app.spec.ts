import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { AppModule, EXPECTED_ANSWERS, createTransport, exchange } from './app';

it('answers a board and a client', async () => {
  const transport = createTransport();
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  const app = module.createNestMicroservice({ strategy: transport, logger: ['error', 'warn'] });
  expect(await exchange(app, transport)).toEqual(EXPECTED_ANSWERS);
});
