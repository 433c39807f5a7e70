import { type CanActivate, Controller, type ExecutionContext, UseGuards } from '@nestjs/common';
import {
  type BaseRpcContext,
  type Deserializer,
  type ReadPacket,
  type Serializer,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
} from '@nestjs/microservices';
import type { BenUdpTransport } from 'nestjs-ben-udp';
import { describe, expect, vi } from 'vitest';
import { startBoard } from '../support/nest-app.js';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { ask, askInVain, connectClient, start, tell } from './transports.js';

type RpcContext = BaseRpcContext & { getPattern(): string; getMetadata(): unknown };

describe('Context, metadata, serializers', () => {
  behaviour('context', "`@Ctx()` is of the transport's class, and guards see the same object", {
    async both(transport) {
      const guarded = vi.fn<(context: unknown) => void>();
      class Look implements CanActivate {
        canActivate(context: ExecutionContext) {
          guarded(context.switchToRpc().getContext());
          return true;
        }
      }
      const seen: unknown[] = [];
      @UseGuards(Look)
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked(@Ctx() context: RpcContext) {
          seen.push(context);
          return [context.getPattern(), context.getArgByIndex(1) as unknown, context.getArgs().length >= 2];
        }
        @EventPattern<string>('told')
        told(@Ctx() context: RpcContext) {
          seen.push(context);
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'asked')).toEqual([['asked', 'asked', true]]);
      await tell(client, 'told');
      await expect.poll(() => seen).toHaveLength(2);
      expect(seen.every((context) => context instanceof transport.Context)).toBe(true);
      expect(guarded.mock.calls.map(([context]) => context)).toEqual(seen);
    },
  });

  {
    @Controller()
    class Handlers {
      @MessagePattern({ cmd: 'sum', version: 2 })
      asked(@Ctx() context: RpcContext) {
        return context.getPattern();
      }
    }
    const pattern = { version: 2, cmd: 'sum' };
    behaviour('context-pattern', '`getPattern()` of an object pattern', {
      tcp: [
        'the JSON of the sent data, with its keys in the sent order',
        async (transport) => {
          const { client } = await start(transport, { controllers: [Handlers] });
          expect(await ask(client, pattern)).toEqual(['{"version":2,"cmd":"sum"}']);
        },
      ],
      benUdp: [
        "the route, its keys sorted: a device's dicts have no order",
        async (transport) => {
          const { client } = await start(transport, { controllers: [Handlers] });
          expect(await ask(client, pattern)).toEqual(['{"cmd":"sum","version":2}']);
        },
      ],
    });
  }

  @Controller()
  class Metadata {
    readonly seen: unknown[] = [];
    @MessagePattern('asked')
    asked(@Payload() data: unknown, @Ctx() context: RpcContext) {
      this.seen.push(context.getMetadata());
      return data;
    }
    @EventPattern<string>('told')
    told(@Ctx() context: RpcContext) {
      this.seen.push(context.getMetadata());
    }
  }

  behaviour('metadata', 'Metadata that a serializer adds to the packet reaches `context.getMetadata()`', {
    needs: NEEDS.metadata,
    async both(transport) {
      const { app, port, client } = await start(transport, { controllers: [Metadata] });
      const { seen } = app.get(Metadata);
      const serializer: Serializer = {
        serialize: (packet: ReadPacket) => ({ ...packet, metadata: { trace: 'abc' } }),
      };
      const tracing = connectClient(transport, port, { serializer });
      expect(await ask(tracing, 'asked', 1)).toEqual([1]);
      expect(await ask(client, 'asked', 2)).toEqual([2]);
      expect(seen).toEqual([{ trace: 'abc' }, undefined]);
    },
  });

  {
    const serializer: Serializer = { serialize: (packet: ReadPacket) => ({ ...packet, metadata: { depth: 1 } }) };
    behaviour('metadata-values', 'Metadata has a value that is not a text', {
      needs: NEEDS.metadata,
      tcp: [
        'it arrives as it is',
        async (transport) => {
          const { app, port } = await start(transport, { controllers: [Metadata] });
          expect(await ask(connectClient(transport, port, { serializer }), 'asked', 1)).toEqual([1]);
          expect(app.get(Metadata).seen).toEqual([{ depth: 1 }]);
        },
      ],
      benUdp: [
        'the client refuses it with `BEN_UNSERIALIZABLE`; a server drops and counts it',
        async (transport) => {
          const { app, port, server } = await start(transport, { controllers: [Metadata] });
          const refused = await askInVain(connectClient(transport, port, { serializer }), 'asked', 1);
          expect(refused).toMatchObject({ code: 'BEN_UNSERIALIZABLE' });
          const board = await startBoard(port);
          await board.exchange("{'action': 'asked', 'data': 1, 'meta': {'depth': 1}}");
          expect(app.get(Metadata).seen).toEqual([undefined]);
          expect((server as unknown as BenUdpTransport).getStats().droppedMetadata).toBe(1);
        },
      ],
    });
  }

  behaviour(
    'dispatch-hook',
    'What `setOnDispatchHook` puts on the packet reaches the server, for messages and for events',
    {
      needs: NEEDS.dispatchHook,
      async both(transport) {
        const { app, client } = await start(transport, { controllers: [Metadata] });
        const { seen } = app.get(Metadata);
        let number = 0;
        client.setOnDispatchHook((packet) => {
          packet.metadata = { number: String(++number) };
        });
        expect(await ask(client, 'asked', 1)).toEqual([1]);
        await tell(client, 'told');
        await expect.poll(() => seen).toEqual([{ number: '1' }, { number: '2' }]);
      },
    },
  );

  behaviour('extras', '`extras` of a decorator are on the handler', {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern('asked', { cost: 3 })
        asked() {}
        @EventPattern<string>('told', transport.id, { cost: 5 })
        told() {}
      }
      const { server } = await start(transport, { controllers: [Handlers] });
      const handlers = server.getHandlers();
      const describeHandler = (pattern: string) => {
        const { extras, isEventHandler } = handlers.get(pattern)!;
        return { extras, isEventHandler };
      };
      expect(describeHandler('asked')).toEqual({ extras: { cost: 3 }, isEventHandler: false });
      expect(describeHandler('told')).toEqual({ extras: { cost: 5 }, isEventHandler: true });
    },
  });

  behaviour('server-serializer', "The server's serializer turns `{ response }` and `{ err }`", {
    async both(transport) {
      const serializer: Serializer = {
        serialize: ({ response, err, ...packet }: { response?: unknown; err?: unknown }) =>
          err === undefined ? { ...packet, response: { wrapped: response } } : { ...packet, err: { wrapped: err } },
      };
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked() {
          return 'answer';
        }
        @MessagePattern('failing')
        failing() {
          throw new Error('hidden');
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] }, { serializer });
      expect(await ask(client, 'asked')).toEqual([{ wrapped: 'answer' }]);
      expect(await askInVain(client, 'failing')).toEqual({
        wrapped: { status: 'error', message: 'Internal server error' },
      });
    },
  });

  behaviour('server-deserializer', "The server's deserializer turns `{ pattern, data }`, and may take its time", {
    async both(transport) {
      const seen = vi.fn<(data: unknown) => void>();
      const deserializer: Deserializer = {
        deserialize: async (packet: ReadPacket) => ({
          ...packet,
          pattern: String(packet.pattern).replace('v1.', ''),
          data: { unwrapped: packet.data as unknown },
        }),
      };
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked(@Payload() data: unknown) {
          return data;
        }
        @EventPattern<string>('told')
        told(@Payload() data: unknown) {
          seen(data);
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] }, { deserializer });
      expect(await ask(client, 'v1.asked', 1)).toEqual([{ unwrapped: 1 }]);
      await tell(client, 'v1.told', 2);
      await expect.poll(() => seen.mock.calls).toEqual([[{ unwrapped: 2 }]]);
    },
  });

  behaviour('client-serializers', "The client's serializer changes the packet, and its deserializer the answer", {
    async both(transport) {
      const serializer: Serializer = {
        serialize: (packet: ReadPacket) => ({ ...packet, data: { sent: packet.data as unknown } }),
      };
      const deserializer: Deserializer = {
        deserialize: ({ response, ...packet }: { response?: unknown; err?: unknown }) =>
          packet.err === undefined
            ? { ...packet, response: response && { got: response } }
            : { ...packet, err: 'turned' },
      };
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked(@Payload() data: unknown) {
          return data;
        }
        @MessagePattern('failing')
        failing() {
          throw new Error('hidden');
        }
      }
      const { port } = await start(transport, { controllers: [Handlers] });
      const client = connectClient(transport, port, { serializer, deserializer });
      expect(await ask(client, 'asked', 1)).toEqual([{ got: { sent: 1 } }]);
      expect(await askInVain(client, 'failing')).toBe('turned');
    },
  });
});
