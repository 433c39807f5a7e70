/**
 * Every way out of a handler, pipe, guard, interceptor and filter, with every kind of value. What leaves Nest's exception layer
 * as an answer is the same on both transports; an error that escapes it, because a filter itself threw, must not reach a board.
 */
import { runInNewContext } from 'node:vm';
import {
  Catch,
  Controller,
  HttpException,
  Injectable,
  NotFoundException,
  type PipeTransform,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { type Observable, of, throwError } from 'rxjs';
import { describe, expect } from 'vitest';
import { behaviour } from './behaviour.js';
import { NEEDS } from './nest-features.js';
import { type ParityTransport, ask, askInVain, start, tell } from './transports.js';

const HIDDEN = { status: 'error', message: 'Internal server error' };
const SECRET = 'hunter2';

/** Values that may be thrown, and the answer over both TCP and BenUdp if a handler throws them. */
const THROWN: Record<string, { readonly make: () => unknown; readonly answer: unknown; readonly isLogged: boolean }> = {
  error: {
    make: () => Object.assign(new Error(`db down ${SECRET}`), { config: { password: SECRET } }),
    answer: HIDDEN,
    isLogged: true,
  },
  // Nest logs no HttpException: it is meant for a response of its own.
  http: { make: () => new HttpException('for browsers', 418), answer: HIDDEN, isLogged: false },
  rpc: {
    make: () => new RpcException('no such sensor'),
    answer: { status: 'error', message: 'no such sensor' },
    isLogged: false,
  },
  'rpc-object': { make: () => new RpcException({ code: 404 }), answer: { code: 404 }, isLogged: false },
  object: { make: () => ({ password: SECRET }), answer: HIDDEN, isLogged: true },
  string: { make: () => `text ${SECRET}`, answer: HIDDEN, isLogged: true },
  undefined: { make: () => undefined, answer: HIDDEN, isLogged: true },
};
const KINDS = Object.keys(THROWN);

const raise = (kind: string): never => {
  throw THROWN[kind]!.make();
};

@Injectable()
class ThrowingPipe implements PipeTransform {
  transform(value: string): never {
    return raise(value);
  }
}

@Injectable()
class ThrowingGuard {
  canActivate(context: { getArgByIndex(index: number): string }): boolean {
    return raise(context.getArgByIndex(0));
  }
}

@Injectable()
class ThrowingInterceptor {
  intercept(context: { getArgByIndex(index: number): string }): Observable<never> {
    return raise(context.getArgByIndex(0));
  }
}

@Injectable()
class FailingInterceptor {
  intercept(context: { getArgByIndex(index: number): string }): Observable<never> {
    return throwError(THROWN[context.getArgByIndex(0)]!.make);
  }
}

/** The message `failing` is logged and never answered. */
async function waitsForEver(transport: ParityTransport, controller: Type, data: unknown): Promise<void> {
  const { client, logs } = await start(transport, { controllers: [controller] });
  let isAnswered = false;
  client.send('failing', data).subscribe({ next: () => (isAnswered = true), error: () => (isAnswered = true) });
  await expect.poll(() => logs.of('error')).toHaveLength(1);
  // One connection keeps the order, so an answer would have come by now.
  expect(await ask(client, 'fine')).toEqual(['fine']);
  expect(isAnswered).toBe(false);
}

/** Each way gets the kind as its data. */
@Controller()
class WaysOut {
  @MessagePattern('throw')
  throw(@Payload() kind: string) {
    return raise(kind);
  }
  @MessagePattern('reject')
  async reject(@Payload() kind: string) {
    await Promise.resolve();
    return raise(kind);
  }
  @MessagePattern('stream')
  stream(@Payload() kind: string) {
    return throwError(THROWN[kind]!.make);
  }
  @MessagePattern('pipe')
  pipe(@Payload(ThrowingPipe) _kind: string) {}
  @UseGuards(ThrowingGuard)
  @MessagePattern('guard')
  guard() {}
  @UseInterceptors(ThrowingInterceptor)
  @MessagePattern('interceptor')
  interceptor() {}
  @UseInterceptors(FailingInterceptor)
  @MessagePattern('interceptor-stream')
  interceptorStream() {}
}

const WAYS: ReadonlyArray<readonly [slug: string, pattern: string, words: string]> = [
  ['out-of-throw', 'throw', 'A handler throws'],
  ['out-of-reject', 'reject', 'A handler rejects'],
  ['out-of-stream', 'stream', "A handler's Observable fails"],
  ['out-of-pipe', 'pipe', 'A pipe throws'],
  ['out-of-guard', 'guard', 'A guard throws'],
  ['out-of-interceptor', 'interceptor', 'An interceptor throws'],
  ['out-of-interceptor-stream', 'interceptor-stream', "An interceptor's Observable fails"],
];

describe('Ways out', () => {
  for (const [slug, pattern, words] of WAYS) {
    behaviour(
      slug,
      `${words}: an \`RpcException\` comes back, anything else (Error, HttpException, object, text, undefined) is hidden. Nest logs it, unless it is an HttpException`,
      {
        async both(transport) {
          const { client, logs } = await start(transport, { controllers: [WaysOut] });
          for (const kind of KINDS) {
            logs.lines.length = 0;
            expect([kind, await askInVain(client, pattern, kind)]).toEqual([kind, THROWN[kind]!.answer]);
            expect([kind, logs.of('error').length]).toEqual([kind, THROWN[kind]!.isLogged ? 1 : 0]);
          }
        },
      },
    );
  }

  {
    const warningsOf = async (transport: ParityTransport) => {
      const { client, logs } = await start(transport, { controllers: [WaysOut] });
      expect(await askInVain(client, 'throw', 'http')).toEqual(HIDDEN);
      return logs.of('warn');
    };
    behaviour(
      'hidden-log',
      'A handler throws an HttpException, as a `ValidationPipe` without `exceptionFactory` does',
      {
        tcp: [
          'nothing is logged',
          async (transport) => {
            expect(await warningsOf(transport)).toEqual([]);
          },
        ],
        benUdp: [
          'a warning names the action and the device',
          async (transport) => {
            expect(await warningsOf(transport)).toEqual([expect.stringMatching(/"throw" of 127\.0\.0\.1/)]);
          },
        ],
      },
    );
  }

  {
    @Catch()
    class ThrowingFilter {
      catch(_error: unknown, host: { getArgByIndex(index: number): string }): never {
        return raise(host.getArgByIndex(0));
      }
    }
    @Controller()
    class Filtered {
      @UseFilters(ThrowingFilter)
      @MessagePattern('failing')
      failing() {
        throw new Error('first');
      }
      @MessagePattern('fine')
      fine() {
        return 'fine';
      }
    }
    behaviour('out-of-filter', 'An exception filter itself throws', {
      tcpNeeds: NEEDS.replyGuard,
      tcp: [
        'the server logs it, and the client waits for ever',
        (transport) => waitsForEver(transport, Filtered, 'error'),
      ],
      benUdp: [
        'as for a handler: an `RpcException` comes back, anything else is hidden; both are logged once',
        async (transport) => {
          for (const kind of KINDS) {
            const { client, logs } = await start(transport, { controllers: [Filtered] });
            expect([kind, await askInVain(client, 'failing', kind)]).toEqual([kind, THROWN[kind]!.answer]);
            expect([kind, logs.of('error').length]).toEqual([kind, 1]);
          }
        },
      ],
    });
  }

  {
    @Catch()
    class ThrowingFilter {
      catch(_error: unknown, host: { getArgByIndex(index: number): string }): never {
        return raise(host.getArgByIndex(0));
      }
    }
    @Injectable()
    class PassingInterceptor {
      intercept(_context: unknown, next: { handle(): Observable<unknown> }): Observable<unknown> {
        return next.handle();
      }
    }
    @UseFilters(ThrowingFilter)
    @Controller()
    class Streaming {
      @MessagePattern('stream')
      stream() {
        return throwError(() => new Error('first'));
      }
      @UseInterceptors(PassingInterceptor)
      @MessagePattern('interceptor')
      interceptor() {
        throw new Error('first');
      }
    }
    // Here rxjs turns the throw of a filter into an error of the stream, as it does with a filter's answer.
    const ANSWERS: Record<string, { readonly tcp: unknown; readonly benUdp: unknown }> = {
      error: { tcp: { config: { password: SECRET } }, benUdp: HIDDEN },
      rpc: { tcp: THROWN['rpc']!.answer, benUdp: THROWN['rpc']!.answer },
      object: { tcp: { password: SECRET }, benUdp: { password: SECRET } },
      string: { tcp: `text ${SECRET}`, benUdp: `text ${SECRET}` },
    };
    behaviour(
      'out-of-filter-stream',
      'An exception filter itself throws, and the handler has an interceptor or returns an Observable',
      {
        tcp: [
          'the thrown object or text comes back, and of an Error its enumerable properties; nothing is logged',
          async (transport) => {
            const { client, logs } = await start(transport, { controllers: [Streaming] });
            for (const pattern of ['stream', 'interceptor']) {
              for (const kind of ['error', 'object', 'string']) {
                expect([kind, await askInVain(client, pattern, kind)]).toEqual([kind, ANSWERS[kind]!.tcp]);
              }
            }
            expect(logs.of('error')).toEqual([]);
          },
        ],
        benUdp: [
          'an object or a text comes back, as the answer of a filter does, and is logged (debug); an Error is hidden and logged; ' +
            'an `RpcException` comes back',
          async (transport) => {
            for (const pattern of ['stream', 'interceptor']) {
              for (const kind of Object.keys(ANSWERS)) {
                const { client, logs } = await start(transport, { controllers: [Streaming] });
                expect([kind, await askInVain(client, pattern, kind)]).toEqual([kind, ANSWERS[kind]!.benUdp]);
                const lines = [...logs.of('error'), ...logs.of('debug')].filter((line) => /hunter2|no such/.test(line));
                expect([pattern, kind, lines.length]).toEqual([pattern, kind, kind === 'rpc' ? 0 : 1]);
              }
            }
          },
        ],
      },
    );
  }

  {
    const ANSWERS: Record<string, { readonly make: () => unknown; readonly answer: unknown }> = {
      'plain object': { make: () => ({ status: 'busy' }), answer: { status: 'busy' } },
      text: { make: () => 'busy', answer: 'busy' },
      'raw error': { make: THROWN['error']!.make, answer: HIDDEN },
      'rpc exception': { make: THROWN['rpc']!.make, answer: THROWN['rpc']!.answer },
      // Jest runs specs in a realm of their own, so errors of Node are no instances of their Error.
      'error of another realm': { make: () => runInNewContext(`new Error('db down ${SECRET}')`), answer: HIDDEN },
      'rpc exception of an error': { make: () => new RpcException(new Error(SECRET)), answer: HIDDEN },
    };
    @Catch()
    class AnsweringFilter {
      catch(_error: unknown, host: { getArgByIndex(index: number): string }): Observable<never> {
        return throwError(ANSWERS[host.getArgByIndex(0)]!.make);
      }
    }
    @Controller()
    class Answered {
      @UseFilters(AnsweringFilter)
      @MessagePattern('answered')
      answered() {
        throw new Error('first');
      }
    }
    behaviour('filter-answers', "An exception filter's Observable fails: an object or a text is its answer", {
      async both(transport) {
        const { client } = await start(transport, { controllers: [Answered] });
        for (const kind of ['plain object', 'text']) {
          expect(await askInVain(client, 'answered', kind)).toEqual(ANSWERS[kind]!.answer);
        }
      },
    });
    behaviour('filter-answers-error', "An exception filter's Observable fails with an Error", {
      tcp: [
        'its enumerable properties come back, secrets among them',
        async (transport) => {
          const { client } = await start(transport, { controllers: [Answered] });
          expect(await askInVain(client, 'answered', 'raw error')).toEqual({ config: { password: SECRET } });
        },
      ],
      benUdp: [
        'hidden and logged; an `RpcException` comes back as `getError()` has it',
        async (transport) => {
          for (const kind of ['raw error', 'rpc exception', 'error of another realm', 'rpc exception of an error']) {
            const { client, logs } = await start(transport, { controllers: [Answered] });
            expect([kind, await askInVain(client, 'answered', kind)]).toEqual([kind, ANSWERS[kind]!.answer]);
            const errors = logs.of('error').filter((line) => line.includes(SECRET));
            expect([kind, errors.length]).toEqual([kind, kind === 'rpc exception' ? 0 : 1]);
          }
        },
      ],
    });
  }

  {
    @Catch()
    class ReturningFilter {
      catch(): Observable<string> {
        return of('from the filter');
      }
    }
    @Controller()
    class Returned {
      @UseFilters(ReturningFilter)
      @MessagePattern('returned')
      returned() {
        throw new Error('first');
      }
    }
    behaviour('filter-returns', 'An exception filter returns an Observable with a value: that is the result', {
      async both(transport) {
        const { client } = await start(transport, { controllers: [Returned] });
        expect(await ask(client, 'returned')).toEqual(['from the filter']);
      },
    });
  }

  {
    @Catch()
    class ForBrowsers extends BaseExceptionFilter {}
    @Controller()
    class Hybrid {
      @UseFilters(new ForBrowsers())
      @MessagePattern('failing')
      failing() {
        throw new NotFoundException('no such page');
      }
      @MessagePattern('fine')
      fine() {
        return 'fine';
      }
    }
    behaviour(
      'http-filter',
      "A filter that extends Nest's HTTP `BaseExceptionFilter` fails, because there is no response",
      {
        tcpNeeds: NEEDS.replyGuard,
        tcp: [
          'the server logs it, and the client waits for ever',
          (transport) => waitsForEver(transport, Hybrid, 'data'),
        ],
        benUdp: [
          'hidden and logged',
          async (transport) => {
            const { client, logs } = await start(transport, { controllers: [Hybrid] });
            expect(await askInVain(client, 'failing')).toEqual(HIDDEN);
            expect(logs.of('error')).toHaveLength(1);
          },
        ],
      },
    );
  }

  {
    @Catch()
    class ThrowingFilter {
      catch(): never {
        return raise('error');
      }
    }
    @Controller()
    class Events {
      @UseFilters(ThrowingFilter)
      @EventPattern<string>('told')
      told() {
        throw new Error('first');
      }
      @MessagePattern('fine')
      fine() {
        return 'fine';
      }
    }
    behaviour(
      'event-filter-throws',
      'The exception filter of an event handler throws: the error is logged once, and no client gets it',
      {
        tcpNeeds: NEEDS.replyGuard,
        async both(transport) {
          const { client, logs } = await start(transport, { controllers: [Events] });
          await tell(client, 'told');
          await expect.poll(() => logs.of('error')).toHaveLength(1);
          expect(logs.of('error')[0]).toContain('db down');
          expect(await ask(client, 'fine')).toEqual(['fine']);
        },
      },
    );
  }

  {
    const VALUES: Record<string, unknown> = { text: 'x', object: { a: 1 }, list: [1], zero: 0, no: false };
    @Controller()
    class Returning {
      @MessagePattern('return')
      return(@Payload() kind: string) {
        return VALUES[kind];
      }
      @MessagePattern('resolve')
      async resolve(@Payload() kind: string) {
        return VALUES[kind];
      }
      @MessagePattern('emit')
      emit(@Payload() kind: string) {
        return of(VALUES[kind]);
      }
    }
    behaviour('returns', 'A handler returns, resolves to or emits a value: that comes back', {
      async both(transport) {
        const { client } = await start(transport, { controllers: [Returning] });
        for (const pattern of ['return', 'resolve', 'emit']) {
          for (const [kind, value] of Object.entries(VALUES)) {
            expect(await ask(client, pattern, kind)).toEqual([value]);
          }
        }
      },
    });
  }
});
