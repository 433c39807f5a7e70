import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { AppModule, EXPECTED_ANSWER, createTransport, exchange } from './app';

it('answers a board', async () => {
  const transport = createTransport();
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  const app = module.createNestMicroservice({ strategy: transport, logger: ['error', 'warn'] });
  expect(await exchange(app, transport)).toBe(EXPECTED_ANSWER);
});
