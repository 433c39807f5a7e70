import { Catch, Controller, HttpException, type INestMicroservice, UseFilters } from '@nestjs/common';
import { BaseRpcExceptionFilter, EventPattern, MessagePattern, RpcException } from '@nestjs/microservices';
import { throwError } from 'rxjs';
import { describe, expect } from 'vitest';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { ask, askInVain, start, tell } from './transports.js';

const HIDDEN = { status: 'error', message: 'Internal server error' };

@Catch(RangeError)
class TellRange {
  catch(error: RangeError) {
    return throwError(() => ({ status: 'range', message: error.message }));
  }
}

@Controller()
class Failing {
  @MessagePattern('rpc')
  rpc() {
    throw new RpcException('no such sensor');
  }
  @MessagePattern('rpc-object')
  rpcObject() {
    throw new RpcException({ code: 404, message: 'no such sensor' });
  }
  @MessagePattern('rpc-stream')
  rpcStream() {
    return throwError(() => new RpcException('from a stream'));
  }
  @MessagePattern('bug')
  async bug() {
    throw new Error('postgres://secret');
  }
  @MessagePattern('http')
  http() {
    throw new HttpException('for browsers', 418);
  }
  @MessagePattern('range')
  range() {
    throw new RangeError('too far');
  }
  @UseFilters(TellRange)
  @MessagePattern('filtered')
  filtered() {
    throw new RangeError('too far');
  }
  @MessagePattern('fine')
  fine() {
    return 'fine';
  }
}

describe('Errors', () => {
  behaviour('rpc-exception', 'An `RpcException` comes back: `{ status, message }` for a text, an object as it is', {
    async both(transport) {
      const { client } = await start(transport, { controllers: [Failing] });
      expect(await askInVain(client, 'rpc')).toEqual({ status: 'error', message: 'no such sensor' });
      expect(await askInVain(client, 'rpc-object')).toEqual({ code: 404, message: 'no such sensor' });
      expect(await askInVain(client, 'rpc-stream')).toEqual({ status: 'error', message: 'from a stream' });
      expect(await ask(client, 'fine')).toEqual(['fine']);
    },
  });

  behaviour('hidden-error', 'Any other error comes back as "Internal server error", and is logged in full', {
    async both(transport) {
      const { client, logs } = await start(transport, { controllers: [Failing] });
      expect(await askInVain(client, 'bug')).toEqual(HIDDEN);
      expect(await askInVain(client, 'http')).toEqual(HIDDEN);
      expect(logs.of('error').join()).toContain('postgres://secret');
      expect(await ask(client, 'fine')).toEqual(['fine']);
    },
  });

  behaviour('exception-filter', 'The result of `@UseFilters` for an error comes back', {
    async both(transport) {
      const { client } = await start(transport, { controllers: [Failing] });
      expect(await askInVain(client, 'filtered')).toEqual({ status: 'range', message: 'too far' });
      expect(await askInVain(client, 'range')).toEqual(HIDDEN);
    },
  });

  behaviour(
    'global-filter',
    'Global filters catch what handlers throw, also those that extend `BaseRpcExceptionFilter`',
    {
      async both(transport) {
        @Catch()
        class Decorate extends BaseRpcExceptionFilter {
          override catch(_error: unknown, host: Parameters<BaseRpcExceptionFilter['catch']>[1]) {
            // oxlint-disable-next-line promise/valid-params -- an exception filter's catch, not a promise's
            return super.catch(new RpcException({ decorated: host.switchToRpc().getData() as unknown }), host);
          }
        }
        const configure = (app: INestMicroservice) => app.useGlobalFilters(new TellRange(), new Decorate());
        const { client } = await start(transport, { controllers: [Failing] }, { configure });
        expect(await askInVain(client, 'bug', 'data')).toEqual({ decorated: 'data' });
      },
    },
  );

  {
    @Controller()
    class FailingEvents {
      @EventPattern<string>('told')
      told() {
        throw new RpcException('no such sensor');
      }
      @MessagePattern('fine')
      fine() {
        return 'fine';
      }
    }
    behaviour('event-error', 'An `RpcException` of an event handler is logged, and no client gets it', {
      tcpNeeds: NEEDS.eventErrorLog,
      async both(transport) {
        const { client, logs } = await start(transport, { controllers: [FailingEvents] });
        await tell(client, 'told');
        await expect.poll(() => logs.of('error').join()).toContain('no such sensor');
        expect(await ask(client, 'fine')).toEqual(['fine']);
      },
    });
  }

  {
    @Controller()
    class Unsendable {
      @MessagePattern('circle')
      circle() {
        const circle: Record<string, unknown> = {};
        return (circle['self'] = circle);
      }
      @MessagePattern('fine')
      fine() {
        return 'fine';
      }
    }
    behaviour(
      'unsendable-result',
      "A handler returns a value that can't be serialized: an object that contains itself",
      {
        tcpNeeds: NEEDS.replyGuard,
        tcp: [
          'the server logs it, and the client waits for ever',
          async (transport) => {
            const { client, logs } = await start(transport, { controllers: [Unsendable] });
            let isAnswered = false;
            client.send('circle', 1).subscribe({ next: () => (isAnswered = true), error: () => (isAnswered = true) });
            await expect.poll(() => logs.of('error').join()).toContain('circular');
            // One connection keeps the order, so an answer would have come by now.
            expect(await ask(client, 'fine')).toEqual(['fine']);
            expect(isAnswered).toBe(false);
          },
        ],
        benUdp: [
          'the server logs it, and an error comes back',
          async (transport) => {
            const { client, logs } = await start(transport, { controllers: [Unsendable] });
            expect(await askInVain(client, 'circle')).toMatchObject({ status: 'error' });
            expect(logs.of('error').join()).toContain('contains itself');
            expect(await ask(client, 'fine')).toEqual(['fine']);
          },
        ],
      },
    );
  }
});
