import {
  type CallHandler,
  type CanActivate,
  Controller,
  type ExecutionContext,
  type INestMicroservice,
  Injectable,
  type NestInterceptor,
  ParseIntPipe,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
  createParamDecorator,
} from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { IsInt } from 'class-validator';
import { map } from 'rxjs';
import { describe, expect, vi } from 'vitest';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { ask, askInVain, start, tell } from './transports.js';

@Injectable()
class OnlyFriends implements CanActivate {
  canActivate(context: ExecutionContext) {
    return context.getType() === 'rpc' && context.switchToRpc().getData<unknown>() === 'friend';
  }
}

@Injectable()
class Shout implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler<string>) {
    return next.handle().pipe(map((value) => value.toUpperCase()));
  }
}

describe('Pipes, guards, interceptors', () => {
  behaviour('pipes', 'Pipes turn the data, or refuse it', {
    async both(transport) {
      class Reading {
        @IsInt()
        celsius!: number;
      }
      @Controller()
      class Handlers {
        @MessagePattern('int')
        int(@Payload(ParseIntPipe) value: number) {
          return value + 1;
        }
        @UsePipes(new ValidationPipe({ exceptionFactory: ([first]) => new RpcException(`bad ${first!.property}`) }))
        @MessagePattern('valid')
        valid(@Payload() reading: Reading) {
          return reading.celsius;
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'int', '41')).toEqual([42]);
      expect(await ask(client, 'valid', { celsius: 21 })).toEqual([21]);
      expect(await askInVain(client, 'valid', { celsius: 'warm' })).toEqual({
        status: 'error',
        message: 'bad celsius',
      });
    },
  });

  behaviour('payload-property', "`@Payload('name')` takes a property of the data, pipes included", {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern('property')
        property(@Payload('name') name: string, @Payload('count', ParseIntPipe) count: number) {
          return [name, count];
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'property', { name: 'esp', count: '3' })).toEqual([['esp', 3]]);
    },
  });

  behaviour(
    'guards',
    'If a guard refuses, the client gets "Forbidden resource", and an event does not reach its handler',
    {
      async both(transport) {
        const seen = vi.fn<(data: unknown) => void>();
        @UseGuards(OnlyFriends)
        @Controller()
        class Handlers {
          @MessagePattern('asked')
          asked() {
            return 'welcome';
          }
          @EventPattern<string>('told')
          told(@Payload() data: unknown) {
            seen(data);
          }
        }
        const { client } = await start(transport, { controllers: [Handlers] });
        expect(await ask(client, 'asked', 'friend')).toEqual(['welcome']);
        expect(await askInVain(client, 'asked', 'stranger')).toEqual({
          status: 'error',
          message: 'Forbidden resource',
        });
        await tell(client, 'told', 'stranger');
        await tell(client, 'told', 'friend');
        await expect.poll(() => seen.mock.calls).toEqual([['friend']]);
      },
    },
  );

  behaviour('interceptors', 'Interceptors change the answer, and see the end of events', {
    async both(transport) {
      const ended = vi.fn();
      class Ended implements NestInterceptor {
        intercept(_context: ExecutionContext, next: CallHandler) {
          return next.handle().pipe(map(ended));
        }
      }
      @Controller()
      class Handlers {
        @UseInterceptors(Shout)
        @MessagePattern('asked')
        asked() {
          return 'quiet';
        }
        @UseInterceptors(Ended)
        @EventPattern<string>('told')
        told() {
          return 'done';
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'asked')).toEqual(['QUIET']);
      await tell(client, 'told');
      await expect.poll(() => ended.mock.calls.map(([value]) => value as unknown)).toEqual(['done']);
    },
  });

  behaviour('param-decorators', 'Custom parameter decorators see the data and the context', {
    async both(transport) {
      const Summary = createParamDecorator((prefix: string, context: ExecutionContext) => {
        const rpc = context.switchToRpc();
        return `${prefix} ${rpc.getContext<{ getPattern(): string }>().getPattern()} ${rpc.getData<string>()}`;
      });
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked(@Summary('is') summary: string) {
          return summary;
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'asked', 'it')).toEqual(['is asked it']);
    },
  });

  behaviour('global-enhancers', 'Global pipes, guards and interceptors hold for every handler', {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked(@Payload() data: string) {
          return `hello ${data}`;
        }
      }
      const { client } = await start(
        transport,
        { controllers: [Handlers] },
        {
          configure: (app: INestMicroservice) =>
            app
              .useGlobalPipes({ transform: (value: unknown) => (value === 'friend' ? 'dear friend' : value) })
              .useGlobalGuards(new OnlyFriends())
              .useGlobalInterceptors(new Shout()),
        },
      );
      expect(await ask(client, 'asked', 'friend')).toEqual(['HELLO DEAR FRIEND']);
      expect(await askInVain(client, 'asked', 'stranger')).toMatchObject({ message: 'Forbidden resource' });
    },
  });

  behaviour('pre-request-hook', '`registerPreRequestHook` runs before guards, for messages and for events', {
    needs: NEEDS.preRequestHook,
    async both(transport) {
      const seen: string[] = [];
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked() {
          seen.push('handler of asked');
          return 'answer';
        }
        @EventPattern<string>('told')
        told() {
          seen.push('handler of told');
        }
      }
      const { client } = await start(
        transport,
        { controllers: [Handlers] },
        {
          configure: (app) => {
            app.registerPreRequestHook((context, next) => {
              seen.push(`hook of ${context.switchToRpc().getContext<{ getPattern(): string }>().getPattern()}`);
              return next();
            });
            app.useGlobalGuards({
              canActivate() {
                seen.push('guard');
                return true;
              },
            });
          },
        },
      );
      expect(await ask(client, 'asked')).toEqual(['answer']);
      expect(seen).toEqual(['hook of asked', 'guard', 'handler of asked']);
      await tell(client, 'told');
      await expect.poll(() => seen.slice(3)).toEqual(['hook of told', 'guard', 'handler of told']);
    },
  });
});
