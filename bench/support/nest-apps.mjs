/**
 * The app of the bench: one controller with one method, on BenUdp and on Nest's TCP transport. Decorators are applied as the
 * functions they are, so that this needs no compiler. Only the transport that is started is loaded.
 */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { ACTION, HOST, keyFileAt } from './wire.mjs';

/** Called for every request that reaches the controller. */
let onRequest;

class EchoController {
  echo(data) {
    onRequest();
    return data;
  }
}
Payload()(EchoController.prototype, 'echo', 0);
MessagePattern(ACTION)(
  EchoController.prototype,
  'echo',
  /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(EchoController.prototype, 'echo')),
);
Controller()(EchoController);

/** Nest takes any function for a module. */
function AppModule() {}
Module({ controllers: [EchoController] })(AppModule);

async function start(options, onExchange) {
  onRequest = onExchange;
  const app = await NestFactory.createMicroservice(
    /** @type {import('@nestjs/common').Type} */ (/** @type {unknown} */ (AppModule)),
    { ...options, logger: false },
  );
  await app.listen();
  return app;
}

/**
 * @param {{ keys?: number, lib?: string }} options how many keys the server accepts, one shared by all or one for each device;
 * and the URL of another build of this package
 * @param {() => void} onExchange
 * @returns {Promise<import('nestjs-ben-udp').BenUdpTransport>}
 */
export async function startBenUdp({ keys = 1, lib = 'nestjs-ben-udp' }, onExchange) {
  const { BenUdpTransport } = await import(lib);
  const ring = Array.from({ length: keys }, (_, index) => [`device-${index}`, keyFileAt(index)]);
  const keyOptions = keys === 1 ? { key: keyFileAt(0) } : { keys: Object.fromEntries(ring) };
  const strategy = new BenUdpTransport({ host: HOST, port: 0, ...keyOptions });
  await start({ strategy }, onExchange);
  return strategy;
}

export async function startNestTcp(onExchange) {
  const app = await start({ transport: Transport.TCP, options: { host: HOST, port: 0 } }, onExchange);
  return app.unwrap().address().port;
}
