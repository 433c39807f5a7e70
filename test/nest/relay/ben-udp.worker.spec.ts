/** Workers over Nest's TCP, which needs no broker: the controllers of an edge, and whom they believe. */
import { once } from 'node:events';
import { type AddressInfo, type Server as TcpServer, connect } from 'node:net';
import { Catch, Controller, type RpcExceptionFilter, Scope, type Type, UseFilters } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException, ServerTCP, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  AllowDevices,
  BenUdpEventPattern,
  BenUdpMessagePattern,
  BenUdpRelayModule,
  type BenUdpWorkerOptions,
  Device,
  toBenUdpWorker,
} from 'nestjs-ben-udp';
import { throwError } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { KEY_CONTENTS, LogRecorder, startApp } from '../../support/nest-app.js';

@Controller()
class Lamp {
  static reports: unknown[] = [];

  @BenUdpMessagePattern('led')
  led(@Payload() on: unknown, @Device() device: string | undefined) {
    return { on, device: device ?? 'unknown' };
  }

  @BenUdpMessagePattern('bytes')
  bytes() {
    return new Uint8Array([1, 255]);
  }

  @BenUdpMessagePattern('big')
  big() {
    return 2n ** 70n;
  }

  @BenUdpMessagePattern('function')
  function() {
    return { run: [() => undefined] };
  }

  @BenUdpMessagePattern('refused')
  refused(): string {
    throw new RpcException('not today');
  }

  @BenUdpMessagePattern('broken')
  broken(): string {
    throw new Error('the password is 1234');
  }

  @AllowDevices('hall')
  @BenUdpMessagePattern('guarded')
  guarded() {
    return 'let in';
  }

  @BenUdpEventPattern('report')
  report(@Payload() data: unknown) {
    Lamp.reports.push(['first', data]);
  }
}

/** An error whose content is not an `Error` of Nest. */
class Bare {
  constructor(readonly content: unknown) {}
}

@Catch(Bare)
class BareFilter implements RpcExceptionFilter<Bare> {
  catch({ content }: Bare) {
    return throwError(() => content);
  }
}

const ERRORS: Record<string, () => unknown> = {
  map: () => new RpcException({ at: new Date(0), map: new Map([[1, 2]]) }),
  bytes: () => new RpcException({ bytes: new Uint8Array([1, 255]) }),
  loop: () => {
    const loop: { self?: unknown } = {};
    loop.self = loop;
    return new RpcException(loop);
  },
  error: () => new RpcException(new Error('the password is 1234')),
  function: () => new Bare(() => undefined),
  bare: () => new Bare(new Error('the password is 1234')),
};

/** Results and errors that once ended a worker, or left its edge without an answer. */
@Controller()
class Broken {
  @UseFilters(new BareFilter())
  @BenUdpMessagePattern('throws')
  throws(@Payload() name: string): string {
    throw ERRORS[name]!();
  }

  @UseFilters(new BareFilter())
  @BenUdpMessagePattern('throws-data')
  throwsData(@Payload() data: unknown): string {
    throw new Bare(data);
  }

  @BenUdpMessagePattern('throws-big')
  throwsBig(): string {
    throw new RpcException({ big: 2n ** 70n });
  }

  @BenUdpMessagePattern('getter')
  getter() {
    return {
      get reading() {
        throw new Error('the password is 1234');
      },
    };
  }

  @BenUdpMessagePattern('to-json')
  toJson() {
    return {
      toJSON() {
        throw new Error('the password is 1234');
      },
    };
  }
}

@Controller()
class Archive {
  @EventPattern('report')
  report(@Payload() data: unknown) {
    Lamp.reports.push(['second', data]);
  }

  @MessagePattern('unscoped')
  unscoped() {
    return 'unscoped';
  }

  @MessagePattern('tcp-only', Transport.TCP)
  tcpOnly() {
    return 'reached';
  }
}

/** Both kinds of handlers for one name, in both orders, and an event handler whose name boards also wait for. */
@Controller()
class Both {
  static ran: unknown[] = [];

  @BenUdpMessagePattern('message-first')
  answerFirst() {
    Both.ran.push('message');
    return 'answer';
  }

  @BenUdpEventPattern('message-first')
  eventSecond() {
    Both.ran.push('event');
    return 'result of an event';
  }

  @BenUdpEventPattern('event-first')
  eventFirst() {
    Both.ran.push('event');
    return 'result of an event';
  }

  @BenUdpMessagePattern('event-first')
  answerSecond() {
    Both.ran.push('message');
    return 'answer';
  }

  @BenUdpMessagePattern('message-only')
  messageOnly() {
    Both.ran.push('message');
    return 'answer';
  }

  @BenUdpEventPattern('event-only')
  eventOnly() {
    Both.ran.push('event');
    return 'result of an event';
  }

  @BenUdpEventPattern('event-broken')
  eventBroken() {
    Both.ran.push('event');
    throw new RpcException('not today');
  }
}

/** Nest makes these for each request, and calls the second with more arguments. */
@Controller({ path: 'one', scope: Scope.REQUEST })
class Scoped {
  @BenUdpEventPattern('scoped')
  event(@Payload() data: unknown, @Device() device: unknown) {
    Both.ran.push(['first', data, device]);
  }
}

@Controller({ path: 'two', scope: Scope.REQUEST })
class AlsoScoped {
  @BenUdpEventPattern('scoped')
  event(@Payload() data: unknown, @Device() device: unknown) {
    Both.ran.push(['second', data, device]);
  }
}

@Controller()
class Wild {
  @BenUdpMessagePattern('hall.*')
  hall() {
    return 'any word';
  }
}

/** Names that an edge can't list. White space in a subject would end the connection of all handlers to NATS. */
@Controller()
class Odd {
  @MessagePattern({ cmd: 'set led' })
  object() {
    return 'object';
  }

  @MessagePattern('two words')
  words() {
    return 'words';
  }

  @EventPattern('')
  empty(@Payload() data: unknown) {
    return data;
  }

  @MessagePattern('plain')
  plain() {
    return 'plain';
  }
}

const BOTH = ['message-first', 'event-first', 'message-only', 'event-only', 'event-broken'];

const MESSAGES = ['led', 'bytes', 'big', 'function', 'refused', 'broken', 'guarded', 'unscoped', 'tcp-only'];

/** A worker behind TCP. */
async function startWorker(
  options: BenUdpWorkerOptions = { trustEdgeIdentity: true },
  controllers: Type[] = [Lamp, Archive],
): Promise<number> {
  const module = await Test.createTestingModule({ controllers }).setLogger(new LogRecorder()).compile();
  const server = toBenUdpWorker(new ServerTCP({ host: '127.0.0.1', port: 0 }), options);
  const worker = module.createNestMicroservice({ strategy: server, logger: new LogRecorder() });
  onTestFinished(() => worker.close());
  await worker.listen();
  return (server.unwrap<TcpServer>().address() as AddressInfo).port;
}

/** The same controllers on a worker behind TCP, and an edge without them. */
async function startPair(controllers?: Type[], messages = MESSAGES, events = ['report']) {
  Lamp.reports = [];
  Both.ran = [];
  const port = await startWorker({ trustEdgeIdentity: true }, controllers);
  const edge = await startApp(
    {
      imports: [
        BenUdpRelayModule.forRoot({
          client: { transport: Transport.TCP, options: { host: '127.0.0.1', port } },
          messages,
          events,
        }),
      ],
    },
    { key: [], keys: { hall: KEY_CONTENTS } },
  );
  return edge.board();
}

/** The answer of a worker to a packet of a client that is no edge. */
async function askOverTcp(port: number, packet: object): Promise<{ response?: unknown; err?: { message: string } }> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  const text = JSON.stringify(packet);
  socket.write(`${text.length}#${text}`);
  const [answer] = (await once(socket, 'data')) as [string];
  socket.destroy();
  return JSON.parse(answer.slice(answer.indexOf('#') + 1)) as object;
}

describe('an identity beside a packet', () => {
  const packetOf = (name: string) => ({ pattern: `ben.${name}`, data: true, id: '1', benUdp: { device: 'hall' } });

  it.each<BenUdpWorkerOptions>([{}, { trustEdgeIdentity: false }])(
    'is nothing to a worker with %j',
    async (options) => {
      const port = await startWorker(options);
      expect((await askOverTcp(port, packetOf('led'))).response).toEqual({ on: true, device: 'unknown' });
      expect((await askOverTcp(port, packetOf('guarded'))).err).toMatchObject({ message: 'Forbidden resource' });
    },
  );

  it('is believed with trustEdgeIdentity, from any client', async () => {
    const port = await startWorker({ trustEdgeIdentity: true });
    expect((await askOverTcp(port, packetOf('led'))).response).toEqual({ on: true, device: 'hall' });
    expect((await askOverTcp(port, packetOf('guarded'))).response).toBe('let in');
  });
});

describe('a worker over TCP', () => {
  it('runs controllers of an edge unchanged, without an identity', async () => {
    const board = await startPair();
    expect(await board.send({ action: 'led', data: true })).toEqual({ on: true, device: 'unknown' });
    expect(await board.send({ action: 'led', data: null })).toEqual({ on: null, device: 'unknown' });
    expect(await board.send({ action: 'unscoped' })).toBe('unscoped');
  });

  it('returns what JSON can not carry by the same rules as it gets it', async () => {
    const board = await startPair();
    expect(await board.send({ action: 'bytes' })).toBe('Af8=');
    expect(await board.send({ action: 'big' })).toBe(String(2n ** 70n));
    expect(await board.exchange("{'action': 'function'}")).toContain("JSON can't carry a function");
  });

  it('answers errors as an edge does', async () => {
    const board = await startPair();
    expect(await board.exchange("{'action': 'refused'}")).toContain('not today');
    const hidden = await board.exchange("{'action': 'broken'}");
    expect(hidden).toContain('Internal server error');
    expect(hidden).not.toContain('1234');
    expect(await board.exchange("{'action': 'guarded'}")).toContain('Forbidden resource');
    expect(await board.exchange("{'action': 'tcp-only'}")).toContain('There is no matching message handler');
  });

  it.each(['unscoped', 'bytes', 'function', 'refused', 'broken'])(
    'answers "%s" with the text of an edge that has the same controllers',
    async (action) => {
      const relayed = await startPair();
      const { board } = await startApp({ controllers: [Lamp, Archive] });
      const local = await board();
      const request = `{'action': '${action}'}`;
      expect(await relayed.exchange(request)).toBe(await local.exchange(request));
    },
  );

  const BROKEN = ['throws', 'throws-data', 'throws-big', 'getter', 'to-json'];

  it.each([
    ...Object.keys(ERRORS).map((name) => `{'action': 'throws', 'data': '${name}'}`),
    "{'action': 'getter'}",
    "{'action': 'to-json'}",
  ])('answers %s with the text of an edge that has the same controller', async (request) => {
    const relayed = await startPair([Broken], BROKEN);
    const { board } = await startApp({ controllers: [Broken] });
    const text = await relayed.exchange(request);
    expect(text).toBe(await (await board()).exchange(request));
    expect(text).not.toContain('1234');
  });

  it.each(['0', "''", 'False', 'None'])(
    'answers an error that is %s, which clients of Nest take for none',
    async (data) => {
      const board = await startPair([Broken], BROKEN);
      const text = await board.exchange(`{'action': 'throws-data', 'data': ${data}}`);
      expect(JSON.parse(text!)).toMatchObject({ data: null, error: { status: 'error' } });
    },
  );

  it('turns what JSON can not carry in an error into text too', async () => {
    const board = await startPair([Broken], BROKEN);
    expect(await board.exchange("{'action': 'throws-big'}")).toContain(`{"big":"${2n ** 70n}"}`);
  });

  it('runs every handler of an event', async () => {
    const board = await startPair();
    await board.send({ action: 'report', data: [1, null] }, { noreturn: true });
    await expect.poll(() => Lamp.reports).toHaveLength(2);
    expect(Lamp.reports).toEqual([
      ['first', [1, null]],
      ['second', [1, null]],
    ]);
  });

  it.each(BOTH)('runs the same handlers of "%s" as an edge with the same controller', async (action) => {
    const ranBy = async (board: Awaited<ReturnType<typeof startPair>>) => {
      const reply = await board.exchange(`{'action': '${action}'}`);
      const waiting = Both.ran.splice(0);
      await board.send({ action }, { noreturn: true });
      await expect.poll(() => Both.ran).toHaveLength(1);
      return { reply, waiting, event: Both.ran.splice(0) };
    };
    const relayed = await ranBy(await startPair([Both], BOTH, BOTH));
    const { board } = await startApp({ controllers: [Both] });
    expect(relayed).toEqual(await ranBy(await board()));
  });

  it('runs every request-scoped handler of an event', async () => {
    const port = await startWorker({ trustEdgeIdentity: true }, [Scoped, AlsoScoped]);
    Both.ran = [];
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    const text = JSON.stringify({ pattern: 'ben.scoped', data: 7, benUdp: { device: 'hall' } });
    socket.write(`${text.length}#${text}`);
    await expect.poll(() => Both.ran).toHaveLength(2);
    expect(Both.ran).toEqual(
      expect.arrayContaining([
        ['first', 7, 'hall'],
        ['second', 7, 'hall'],
      ]),
    );
  });

  it('leaves out handlers that no edge can relay, and says so', async () => {
    const logger = new LogRecorder();
    const server = toBenUdpWorker(new ServerTCP({ host: '127.0.0.1', port: 0 }));
    const module = await Test.createTestingModule({ controllers: [Odd] })
      .setLogger(logger)
      .compile();
    const worker = module.createNestMicroservice({ strategy: server, logger });
    onTestFinished(() => worker.close());
    await worker.listen();
    expect([...server.getHandlers().keys()]).toEqual(['ben.plain']);
    expect(logger.of('warn').map((line) => /relay (.*), so/.exec(line)?.[1])).toEqual([
      JSON.stringify('{"cmd":"set led"}'),
      '"two words"',
      '""',
    ]);
  });

  it.each(['>', 'a.>', '+', 'a/#', '$SYS', 'x'.repeat(201)])(
    'never listens to %j, which is more than a name on some broker',
    (pattern) => {
      const server = toBenUdpWorker(new ServerTCP({}));
      server.addHandler(pattern, async () => undefined);
      expect(server.getHandlers().size).toBe(0);
    },
  );

  it.each<[string, (packet: object) => boolean, () => unknown]>([
    [
      'throws for an answer, for example because it is too large',
      (packet) => 'response' in packet,
      () => {
        throw new Error('too large');
      },
    ],
    [
      'throws for everything, because the connection is closed',
      () => true,
      () => {
        throw new Error('the connection is closed');
      },
    ],
    ['rejects, because a user may not publish', () => true, () => Promise.reject(new Error('NOPERM'))],
  ])('neither throws nor rejects if its client %s', async (_what, isRefused, refuse) => {
    const packets: object[] = [];
    const getPublisher = () => (packet: object) => {
      packets.push(packet);
      return isRefused(packet) ? refuse() : undefined;
    };
    const worker = toBenUdpWorker(Object.assign(new ServerTCP({}), { getPublisher }));
    await worker.getPublisher()({ response: 'x', isDisposed: true });
    const failure = { err: { status: 'error', message: 'Internal server error' }, isDisposed: true };
    expect(packets).toEqual([{ response: 'x', isDisposed: true }, failure]);
  });

  it.each<[string, unknown]>([
    ['the options of a microservice', { transport: Transport.TCP }],
    ['the class of a server', ServerTCP],
    ['nothing', undefined],
  ])('refuses %s instead of a server', (_what, server) => {
    expect(() => toBenUdpWorker(server as ServerTCP)).toThrow(/toBenUdpWorker expects a server of Nest, such as/);
  });

  it('refuses a handler with a wildcard at its start', async () => {
    await expect(startWorker({}, [Wild])).rejects.toThrow(
      'a worker has no wildcards: write a handler for each relayed name instead of "hall.*"',
    );
  });
});
