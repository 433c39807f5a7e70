/** The two compared transports, behind one interface: Nest's own TCP, which is the specification, and BenUdp. */
import 'reflect-metadata';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { INestMicroservice, ModuleMetadata } from '@nestjs/common';
import {
  type ClientProvider,
  type ClientProxy,
  ClientTCP,
  type Deserializer,
  type MicroserviceOptions,
  type Serializer,
  type Server,
  ServerTCP,
  TcpContext,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { BEN_UDP_TRANSPORT, BenUdpClient, BenUdpContext, BenUdpTransport } from 'nestjs-ben-udp';
import { firstValueFrom, toArray } from 'rxjs';
import { onTestFinished } from 'vitest';
import { KEY_CONTENTS, LogRecorder } from '../support/nest-app.js';

const HOST = '127.0.0.1';

export interface ServerOptions {
  host?: string;
  port?: number;
  serializer?: Serializer;
  deserializer?: Deserializer;
}

export interface ClientOptions {
  /** Of BenUdp alone. */
  key?: Uint8Array;
  serializer?: Serializer;
  deserializer?: Deserializer;
}

type CustomStrategy = Server & Extract<MicroserviceOptions, { strategy: unknown }>['strategy'];

export interface ParityTransport {
  readonly name: 'TCP' | 'BenUdp';
  /** As decorators name it. */
  readonly id: Transport | symbol;
  readonly Context: abstract new (...args: never[]) => object;
  createServer(options?: ServerOptions): CustomStrategy;
  createClient(port: number, options?: ClientOptions): ClientProxy;
  /** As `ClientsModule` takes it. */
  clientProvider(port: number): ClientProvider;
  /** Sends bytes that do not follow the protocol. Resolves when they are sent, or when the server has hung up. */
  sendGarbage(port: number, bytes: Uint8Array): Promise<void>;
}

export const TCP: ParityTransport = {
  name: 'TCP',
  id: Transport.TCP,
  Context: TcpContext,
  createServer: (options) => new ServerTCP({ host: HOST, port: 0, ...options }) as unknown as CustomStrategy,
  createClient: (port, options) => new ClientTCP({ host: HOST, port, ...options }) as unknown as ClientProxy,
  clientProvider: (port) => ({ transport: Transport.TCP, options: { host: HOST, port } }),
  async sendGarbage(port, bytes) {
    const socket = connect(port, HOST);
    socket.on('error', () => undefined);
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
  },
};

export const BEN_UDP: ParityTransport = {
  name: 'BenUdp',
  id: BEN_UDP_TRANSPORT,
  Context: BenUdpContext,
  createServer: (options) =>
    new BenUdpTransport({ host: HOST, port: 0, key: KEY_CONTENTS, ...options }) as unknown as CustomStrategy,
  createClient: (port, options) => new BenUdpClient({ port, key: KEY_CONTENTS, timeout: 5000, ...options }),
  clientProvider: (port) => ({ customClass: BenUdpClient, options: { port, key: KEY_CONTENTS } }),
  async sendGarbage(port, bytes) {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.send(bytes, port, HOST, () => resolve()));
    socket.close();
  },
};

export interface StartedServer {
  readonly app: INestMicroservice;
  readonly server: CustomStrategy;
  readonly port: number;
  readonly logs: LogRecorder;
  readonly client: ClientProxy;
}

/** A microservice of this transport on any free port, and a client of it; both are closed when the test ends. */
export async function start(
  transport: ParityTransport,
  metadata: ModuleMetadata,
  { configure, ...options }: ServerOptions & { configure?: (app: INestMicroservice) => void } = {},
): Promise<StartedServer> {
  const logs = new LogRecorder();
  const server = transport.createServer(options);
  const module = await Test.createTestingModule(metadata).setLogger(logs).compile();
  const app = module.createNestMicroservice<MicroserviceOptions>({ strategy: server, logger: logs });
  configure?.(app);
  await app.listen();
  onTestFinished(() => app.close());
  const { port } = app.unwrap<{ address(): { port: number } }>().address();
  return { app, server, port, logs, client: connectClient(transport, port) };
}

export function connectClient(transport: ParityTransport, port: number, options: ClientOptions = {}): ClientProxy {
  const client = transport.createClient(port, options);
  onTestFinished(() => client.close() as Promise<void>);
  return client;
}

/** Every value that comes back. */
export const ask = (client: ClientProxy, pattern: unknown, data: unknown = 'data'): Promise<unknown[]> =>
  firstValueFrom(client.send<unknown>(pattern, data).pipe(toArray()));

/** The error that comes back. */
export const askInVain = async (client: ClientProxy, pattern: unknown, data: unknown = 'data'): Promise<unknown> => {
  try {
    return `no error but ${JSON.stringify(await ask(client, pattern, data))}`;
  } catch (error) {
    return error;
  }
};

/** Resolves when the event has left. */
export const tell = (client: ClientProxy, pattern: unknown, data: unknown = 'data'): Promise<void> =>
  firstValueFrom(client.emit<void>(pattern, data), { defaultValue: undefined });
