import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, RpcException } from '@nestjs/microservices';
import { Observable, concat, finalize, of, throwError } from 'rxjs';
import { describe, expect, vi } from 'vitest';
import { behaviour } from './behaviour.js';
import { ask, start, tell } from './transports.js';

@Controller()
class Streams {
  @MessagePattern('one')
  one() {
    return of('one');
  }
  @MessagePattern('three')
  three() {
    return of(1, 2, 3);
  }
  @MessagePattern('empty')
  empty() {
    return of();
  }
  @MessagePattern('nothing')
  nothing() {}
  @MessagePattern('broken')
  broken() {
    return concat(
      of(1),
      throwError(() => new RpcException('broke')),
    );
  }
}

/** The notifications that a client gets for an answer, in order. */
function record(answer: Observable<unknown>): unknown[] {
  const seen: unknown[] = [];
  answer.subscribe({
    next: (value) => seen.push(value),
    error: (error: unknown) => seen.push(['error', error]),
    complete: () => seen.push('complete'),
  });
  return seen;
}

describe('Observables', () => {
  behaviour('observable', 'A handler may return an Observable, and its value comes back', {
    async both(transport) {
      const { client } = await start(transport, { controllers: [Streams] });
      expect(await ask(client, 'one')).toEqual(['one']);
    },
  });

  behaviour('observable-event', 'The result of an event handler is subscribed to, although nothing comes back', {
    async both(transport) {
      const ran = vi.fn();
      @Controller()
      class Handlers {
        @EventPattern<string>('told')
        told() {
          return new Observable((observer) => {
            ran();
            observer.complete();
          });
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      await tell(client, 'told');
      await expect.poll(() => ran.mock.calls).toHaveLength(1);
    },
  });

  behaviour('observable-values', 'An Observable emits several values', {
    tcp: [
      'every value comes back',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Streams] });
        expect(await ask(client, 'three')).toEqual([1, 2, 3]);
      },
    ],
    benUdp: [
      'the last one comes back, because a device reads one reply; the server warns once for each handler',
      async (transport) => {
        const { client, logs } = await start(transport, { controllers: [Streams] });
        expect(await ask(client, 'three')).toEqual([3]);
        expect(await ask(client, 'three')).toEqual([3]);
        expect(logs.of('warn').filter((line) => line.includes('emitted 3 values'))).toHaveLength(1);
      },
    ],
  });

  {
    const open = () => {
      let end = () => {};
      @Controller()
      class Handlers {
        @MessagePattern('open')
        open() {
          return new Observable<string>((observer) => {
            observer.next('early');
            end = () => observer.complete();
          });
        }
      }
      return { Handlers, end: () => end() };
    };
    behaviour('observable-open', 'An Observable emits a value and does not complete', {
      tcp: [
        'the value comes back at once',
        async (transport) => {
          const { Handlers, end } = open();
          const { client } = await start(transport, { controllers: [Handlers] });
          const seen = record(client.send('open', 1));
          await expect.poll(() => seen).toEqual(['early']);
          end();
          await expect.poll(() => seen).toEqual(['early', 'complete']);
        },
      ],
      benUdp: [
        'the value comes back when it completes: until then, nobody knows which value is the last',
        async (transport) => {
          const { Handlers, end } = open();
          const { client, server } = await start(transport, { controllers: [Handlers] });
          const seen = record(client.send('open', 1));
          await expect
            .poll(() => (server as unknown as { getStats(): { inFlight: number } }).getStats().inFlight)
            .toBe(1);
          expect(seen).toEqual([]);
          end();
          await expect.poll(() => seen).toEqual(['early', 'complete']);
        },
      ],
    });
  }

  behaviour('observable-error', 'An Observable emits a value, then fails', {
    tcp: [
      'the value comes back, then the error',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Streams] });
        const seen = record(client.send('broken', 1));
        await expect.poll(() => seen).toEqual([1, ['error', { status: 'error', message: 'broke' }]]);
      },
    ],
    benUdp: [
      'only the error comes back',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Streams] });
        const seen = record(client.send('broken', 1));
        await expect.poll(() => seen).toEqual([['error', { status: 'error', message: 'broke' }]]);
      },
    ],
  });

  behaviour('no-result', 'A handler returns `undefined`, or an Observable without a value', {
    tcp: [
      'the client completes without a value',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Streams] });
        expect(await ask(client, 'nothing')).toEqual([]);
        expect(await ask(client, 'empty')).toEqual([]);
      },
    ],
    benUdp: [
      'the client emits `null`: a reply always has `data`, and a device gets `None`',
      async (transport) => {
        const { client } = await start(transport, { controllers: [Streams] });
        expect(await ask(client, 'nothing')).toEqual([null]);
        expect(await ask(client, 'empty')).toEqual([null]);
      },
    ],
  });

  behaviour('observable-once', 'An Observable is subscribed to once for each message', {
    async both(transport) {
      let subscriptions = 0;
      const ended = vi.fn();
      @Controller()
      class Handlers {
        @MessagePattern('cold')
        cold() {
          return new Observable<number>((observer) => {
            observer.next(++subscriptions);
            observer.complete();
          }).pipe(finalize(ended));
        }
      }
      const { client } = await start(transport, { controllers: [Handlers] });
      expect(await ask(client, 'cold')).toEqual([1]);
      expect(await ask(client, 'cold')).toEqual([2]);
      expect(ended).toHaveBeenCalledTimes(2);
    },
  });
});
