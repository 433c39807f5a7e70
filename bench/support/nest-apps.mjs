/**
 * The app of the bench: one controller with one method, on BenUdp, on Nest's TCP transport and on HTTP. Decorators are applied as the
 * functions they are, so that this needs no compiler. Only the transport that is started is loaded.
 */
import 'reflect-metadata';
import { Controller, HttpCode, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxy, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { ACTION, HOST, keyFileAt } from './wire.mjs';

/**
 * Called for every request that reaches the controller.
 *
 * @type {() => void}
 */
let onRequest;

class EchoController {
  /** @param {unknown} data */
  echo(data) {
    onRequest();
    return data;
  }
}
const echo = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(EchoController.prototype, 'echo'));
// Nest keeps the payload of a message and the body of an HTTP request under one name.
Payload()(EchoController.prototype, 'echo', 0);
// The second pattern is for MQTT, because each device has its own topic there.
MessagePattern([ACTION, `${ACTION}/+`])(EchoController.prototype, 'echo', echo);
Post(ACTION)(EchoController.prototype, 'echo', echo);
HttpCode(200)(EchoController.prototype, 'echo', echo);
Controller()(EchoController);

/** Nest takes any function for a module. */
function EchoModule() {}
Module({ controllers: [EchoController] })(EchoModule);
const AppModule = /** @type {import('@nestjs/common').Type} */ (/** @type {unknown} */ (EchoModule));

/** A worker behind a broker, both without their part: it answers in the same turn. */
class EchoingClient extends ClientProxy {
  async connect() {}
  async close() {}
  /**
   * @template T
   * @returns {T}
   */
  unwrap() {
    throw new Error('there is no broker');
  }
  /**
   * @param {import('@nestjs/microservices').ReadPacket} packet
   * @param {(packet: import('@nestjs/microservices').WritePacket) => void} callback
   */
  publish({ data }, callback) {
    onRequest();
    queueMicrotask(() => callback({ response: data, isDisposed: true }));
    return () => undefined;
  }
  /**
   * @template T
   * @returns {Promise<T>}
   */
  async dispatchEvent() {
    throw new Error('the bench sends no events');
  }
}

/**
 * @param {object} options of Nest's microservice
 * @param {() => void} onExchange
 * @param {import('@nestjs/common').DynamicModule | import('@nestjs/common').Type} [module] the app. Default one with the controller
 */
export async function startMicroservice(options, onExchange, module = AppModule) {
  onRequest = onExchange;
  const app = await NestFactory.createMicroservice(module, { ...options, logger: false });
  await app.listen();
  return app;
}

/**
 * @param {{ keys?: number, lib?: string, relays?: boolean }} options how many keys the server accepts, one shared by all or one for each
 * device; the URL of another build of this package; and whether the requests are relayed to a worker
 * @param {() => void} onExchange
 * @returns {Promise<import('nestjs-ben-udp').BenUdpTransport>}
 */
export async function startBenUdp({ keys = 1, lib = 'nestjs-ben-udp', relays = false }, onExchange) {
  /** @type {typeof import('nestjs-ben-udp')} */
  const { BenUdpTransport, BenUdpRelayModule } = await import(lib);
  const ring = Array.from({ length: keys }, (_, index) => [`device-${index}`, keyFileAt(index)]);
  const keyOptions = keys === 1 ? { key: keyFileAt(0) } : { keys: Object.fromEntries(ring) };
  const strategy = new BenUdpTransport({ host: HOST, port: 0, ...keyOptions });
  const module = relays
    ? BenUdpRelayModule.forRoot({ client: { customClass: EchoingClient }, messages: [ACTION] })
    : AppModule;
  await startMicroservice({ strategy }, onExchange, module);
  return strategy;
}

/**
 * @param {() => void} onExchange
 * @returns {Promise<number>} the port
 */
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
