import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { describe, expect, vi } from 'vitest';
import { behaviour } from './behaviour.js';
import { ask, askInVain, start, tell } from './transports.js';

const NOBODY = 'There is no matching message handler defined in the remote service.';

describe('Patterns', () => {
  behaviour('message-pattern', 'A `@MessagePattern` handler gets the data, and its result comes back', {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern('value')
        value(@Payload() data: unknown) {
          return { got: data };
        }
        @MessagePattern('promise')
        async promise() {
          return [1, 'zwei', 3.5, true, null, { ключ: '🔑' }];
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'value', { a: [1, 'two'] })).toEqual([{ got: { a: [1, 'two'] } }]);
      expect(await ask(client, 'promise')).toEqual([[1, 'zwei', 3.5, true, null, { ключ: '🔑' }]]);
    },
  });

  behaviour('event-pattern', 'An `@EventPattern` handler gets the emitted data, and nothing comes back', {
    async both(transport) {
      const seen = vi.fn<(data: unknown) => string>(() => 'for nobody');
      @Controller()
      class Handlers {
        @EventPattern<string>('told')
        told(@Payload() data: unknown) {
          return seen(data);
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await tell(client, 'told', { a: 1 })).toBeUndefined();
      await expect.poll(() => seen.mock.calls).toEqual([[{ a: 1 }]]);
    },
  });

  behaviour('object-pattern', 'A pattern may be an object, with its keys in any order, or a number', {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern({ cmd: 'sum', version: 2 })
        sum(@Payload() numbers: number[]) {
          return numbers.reduce((sum, each) => sum + each, 0);
        }
        @MessagePattern(7)
        seven() {
          return 'seven';
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, { cmd: 'sum', version: 2 }, [1, 2])).toEqual([3]);
      expect(await ask(client, { version: 2, cmd: 'sum' }, [3, 4])).toEqual([7]);
      expect(await ask(client, 7)).toEqual(['seven']);
      expect(await askInVain(client, { cmd: 'sum' }, [1])).toEqual(
        transport.name === 'TCP' ? NOBODY : { status: 'error', message: NOBODY },
      );
    },
  });

  behaviour('many-patterns', 'One handler may have many patterns', {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern(['one', { cmd: 'two' }])
        either(@Payload() data: unknown) {
          return data;
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'one', 1)).toEqual([1]);
      expect(await ask(client, { cmd: 'two' }, 2)).toEqual([2]);
    },
  });

  behaviour('several-event-handlers', 'An event reaches every handler of its pattern, even if one of them fails', {
    async both(transport) {
      const seen: string[] = [];
      @Controller()
      class First {
        @EventPattern<string>('told')
        told() {
          seen.push('first');
        }
      }
      @Controller()
      class Second {
        @EventPattern<string>('told')
        async told() {
          seen.push('second');
          throw new Error('second failed');
        }
      }
      @Controller()
      class Third {
        @EventPattern<string>('told')
        told() {
          seen.push('third');
        }
      }
      const { client, logs } = await start(transport, { controllers: [First, Second, Third] });
      await tell(client, 'told');
      await expect.poll(() => seen.toSorted()).toEqual(['first', 'second', 'third']);
      await expect.poll(() => logs.of('error').join()).toContain('second failed');
    },
  });

  behaviour('unknown-pattern', 'A message without a handler gets an error at once', {
    tcp: [
      'the error is a string',
      async (transport) => {
        const { client } = await start(transport, {});
        expect(await askInVain(client, 'nobody')).toBe(NOBODY);
      },
    ],
    benUdp: [
      'the error is an object like all others, `{ status, message }`, and the server logs the pattern',
      async (transport) => {
        const { client, logs } = await start(transport, {});
        expect(await askInVain(client, 'nobody')).toEqual({ status: 'error', message: NOBODY });
        expect(logs.of('error').join()).toContain('Pattern: "nobody"');
      },
    ],
  });

  behaviour('unknown-event', 'An event without a handler is only logged', {
    async both(transport) {
      @Controller()
      class Handlers {
        @MessagePattern('still')
        still() {
          return 'there';
        }
      }
      const { client, logs } = await start(transport, { controllers: [Handlers] });
      await tell(client, 'nobody');
      await expect
        .poll(() => logs.of('error').join())
        .toContain('There is no matching event handler defined in the remote service.');
      expect(await ask(client, 'still')).toEqual(['there']);
    },
  });

  behaviour('emit-to-message-handler', 'An event whose pattern has only a message handler runs that handler', {
    async both(transport) {
      const seen = vi.fn<(data: unknown) => void>();
      @Controller()
      class Handlers {
        @MessagePattern('asked')
        asked(@Payload() data: unknown) {
          seen(data);
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      await tell(client, 'asked', 1);
      await expect.poll(() => seen.mock.calls).toEqual([[1]]);
    },
  });

  {
    @Controller()
    class EventOnly {
      @EventPattern<string>('told')
      told() {
        return 'result';
      }
    }
    behaviour('send-to-event-handler', 'A message whose pattern has only an event handler', {
      tcp: [
        'runs it, and its result comes back',
        async (transport) => {
          const { client } = await start(transport, { controllers: [EventOnly] });
          expect(await ask(client, 'told')).toEqual(['result']);
        },
      ],
      benUdp: [
        'runs it, and `null` comes back: nobody gets the result of an event handler',
        async (transport) => {
          const { client } = await start(transport, { controllers: [EventOnly] });
          expect(await ask(client, 'told')).toEqual([null]);
        },
      ],
    });
  }

  {
    const seen: string[] = [];
    @Controller()
    class Both {
      @EventPattern<string>('same')
      told() {
        seen.push('event');
      }
      @MessagePattern('same')
      asked() {
        seen.push('message');
        return 'answer';
      }
    }
    behaviour('message-and-event', 'A message handler and an event handler have the same pattern', {
      tcp: [
        'the message handler also gets the events, and the event handler never runs',
        async (transport) => {
          seen.length = 0;
          const { client } = await start(transport, { controllers: [Both] });
          await tell(client, 'same');
          expect(await ask(client, 'same')).toEqual(['answer']);
          await expect.poll(() => seen).toEqual(['message', 'message']);
        },
      ],
      benUdp: [
        'each gets its own: messages go to one, events to the other',
        async (transport) => {
          seen.length = 0;
          const { client } = await start(transport, { controllers: [Both] });
          await tell(client, 'same');
          await expect.poll(() => seen).toEqual(['event']);
          expect(await ask(client, 'same')).toEqual(['answer']);
          expect(seen).toEqual(['event', 'message']);
        },
      ],
    });
  }

  behaviour('no-data', '`send` and `emit` refuse `null` and `undefined` as data and as pattern', {
    async both(transport) {
      const { client } = await start(transport, {});
      const refusal = { message: expect.stringContaining('invalid data or message pattern') as string };
      expect(await askInVain(client, 'pattern', null)).toMatchObject(refusal);
      expect(await askInVain(client, null)).toMatchObject(refusal);
      await expect(tell(client, undefined)).rejects.toMatchObject(refusal);
    },
  });
});
