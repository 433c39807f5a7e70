/** Nest alone. If this fails too, the cause is not this package. */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';

@Controller()
class EmptyController {}

@Module({ controllers: [EmptyController] })
class EmptyModule {}

it('starts an app without nestjs-ben-udp', async () => {
  const module = await Test.createTestingModule({ imports: [EmptyModule] }).compile();
  expect(module.get(EmptyController)).toBeInstanceOf(EmptyController);
});
