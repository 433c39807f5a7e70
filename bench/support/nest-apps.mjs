/**
 * The app of the bench: one controller with one method, on BenUdp, on Nest's TCP transport and on HTTP. Decorators are applied as the
 * functions they are, so that this needs no compiler. Only the transport that is started is loaded.
 */
import 'reflect-metadata';
import { Controller, HttpCode, Module, Post } from '@nestjs/common';
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
const echo = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(EchoController.prototype, 'echo'));
// Nest keeps the payload of a message and the body of an HTTP request under one name.
Payload()(EchoController.prototype, 'echo', 0);
// The second one is for MQTT, where each device has a topic of its own.
MessagePattern([ACTION, `${ACTION}/+`])(EchoController.prototype, 'echo', echo);
Post(ACTION)(EchoController.prototype, 'echo', echo);
HttpCode(200)(EchoController.prototype, 'echo', echo);
Controller()(EchoController);

/** Nest takes any function for a module. */
function EchoModule() {}
Module({ controllers: [EchoController] })(EchoModule);
const AppModule = /** @type {import('@nestjs/common').Type} */ (/** @type {unknown} */ (EchoModule));

/**
 * @param {object} options of Nest's microservice
 * @param {() => void} onExchange
 */
export async function startMicroservice(options, onExchange) {
  onRequest = onExchange;
  const app = await NestFactory.createMicroservice(AppModule, { ...options, logger: false });
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
  await startMicroservice({ strategy }, onExchange);
  return strategy;
}

export async function startNestTcp(onExchange) {
  const app = await startMicroservice({ transport: Transport.TCP, options: { host: HOST, port: 0 } }, onExchange);
  return app.unwrap().address().port;
}

/**
 * @param {{ cert: Buffer, key: Buffer } | undefined} httpsOptions HTTPS with this certificate
 * @param {() => void} onExchange
 * @returns {Promise<number>} the port
 */
export async function startNestHttp(httpsOptions, onExchange) {
  onRequest = onExchange;
  const app = await NestFactory.create(AppModule, { logger: false, ...(httpsOptions && { httpsOptions }) });
  await app.listen(0, HOST);
  return app.getHttpServer().address().port;
}
