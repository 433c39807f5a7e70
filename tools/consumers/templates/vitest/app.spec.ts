import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { AppModule, EXPECTED_ANSWERS, createTransport, exchange } from './app.js';

it('answers a board and a client, and leaves no socket open', async () => {
  const openBefore = openSockets();
  const transport = createTransport();
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  const app = module.createNestMicroservice({ strategy: transport, logger: ['error', 'warn'] });
  expect(await exchange(app, transport)).toEqual(EXPECTED_ANSWERS);
  await expect.poll(openSockets).toBe(openBefore);
});

/** Vitest ends its workers even if a socket is open, so this test counts sockets. */
function openSockets(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'UDPWrap').length;
}
