/**
 * The servers that the transport is compared with, all with the controller of the bench. Their dependencies except Nest belong to this
 * folder alone.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Server, ServerMqtt } from '@nestjs/microservices';
import { UpstreamServer } from '../../test/support/upstream-program.mjs';
import { startMicroservice, startNestHttp } from '../support/nest-apps.mjs';
import { ACTION, HOST, keyFileAt } from '../support/wire.mjs';
import { startBroker } from './broker.mjs';

const require = createRequire(import.meta.url);

/** The secured ways have files of a certificate. @typedef {{ certFile?: string, keyFile?: string }} PeerServerOptions */

/**
 * @param {PeerServerOptions} options
 * @param {() => void} onExchange
 * @returns {Promise<number>} the port
 */
export function startHttp({ certFile, keyFile }, onExchange) {
  const files = certFile && keyFile && { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  return startNestHttp(files || undefined, onExchange);
}

/**
 * Nest's transport with the client from this folder, without Nagle's algorithm, and with QoS 1 for replies, which Nest leaves to each
 * handler.
 */
class MqttStrategy extends ServerMqtt {
  /** @param {string} url */
  constructor(url) {
    super({ url, subscribeOptions: { qos: 1 } });
    this.brokerUrl = url;
  }

  /** @override */
  async createMqttClient() {
    const client = require('mqtt').connect(this.brokerUrl);
    client.on('connect', () => client.stream.setNoDelay());
    const publish = client.publish.bind(client);
    /** @type {(topic: string, payload: string | Buffer, options: object) => unknown} */
    client.publish = (topic, payload, options) => publish(topic, payload, { ...options, qos: 1 });
    return client;
  }
}

/**
 * A broker, and Nest behind it. They speak without TLS, because they are on one machine.
 *
 * @param {PeerServerOptions} options
 * @param {() => void} onExchange
 * @returns {Promise<{ port: number, helpers: number[] }>} the port for devices, and the process of the broker
 */
export async function startMqtt(options, onExchange) {
  const { port, plainPort, pid } = await startBroker(options);
  const strategy = new MqttStrategy(`mqtt://${HOST}:${plainPort}`);
  await startMicroservice({ strategy }, onExchange);
  return { port, helpers: [pid] };
}

/** The server from npm, as a transport of Nest. */
class CoapStrategy extends Server {
  socket = createSocket('udp4');

  /** @param {() => void} callback */
  async listen(callback) {
    const server = require('coap').createServer(this.answer.bind(this));
    this.socket.bind(0, HOST);
    await once(this.socket, 'listening');
    server.listen(this.socket, callback);
  }

  close() {
    this.socket.close();
  }

  /**
   * @param {{ url: string, payload: Buffer }} request
   * @param {{ end(data: unknown): void }} response
   */
  async answer({ url, payload }, response) {
    const handler = this.getHandlerByPattern(url.slice(1));
    const stream = this.transformToObservable(await handler?.(payload.toString()));
    this.send(stream, ({ response: data }) => (data === undefined ? undefined : response.end(data)));
  }

  on() {
    throw new Error('the bench registers no listeners');
  }

  /**
   * @template T
   * @returns {T}
   */
  unwrap() {
    throw new Error('the bench asks for the socket');
  }
}

/**
 * @param {() => void} onExchange
 * @returns {Promise<number>} the port
 */
export async function startCoap(onExchange) {
  const strategy = new CoapStrategy();
  await startMicroservice({ strategy }, onExchange);
  return strategy.socket.address().port;
}

/**
 * Upstream's server as the tests rebuild it: without Nest, and one exchange at a time.
 *
 * @param {() => void} onExchange
 * @returns {Promise<number>} the port
 */
export async function startUpstream(onExchange) {
  /** @param {unknown} data */
  const echo = (data) => {
    onExchange();
    return data;
  };
  const server = await UpstreamServer.start({ key: keyFileAt(0), host: HOST, handlers: { [ACTION]: echo } });
  return server.port;
}
