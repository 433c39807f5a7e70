import { Controller, Inject, Injectable, Scope } from '@nestjs/common';
import { ContextIdFactory, type ContextId, type HostComponentInfo } from '@nestjs/core';
import { type BaseRpcContext, CONTEXT, EventPattern, MessagePattern, type RequestContext } from '@nestjs/microservices';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { behaviour } from './behaviour.js';
import { ask, start, tell } from './transports.js';

describe('Request scope', () => {
  behaviour('request-scoped', 'A request-scoped provider is made for each message and event, and knows it', {
    async both(transport) {
      let made = 0;
      @Injectable({ scope: Scope.REQUEST })
      class PerRequest {
        readonly number = ++made;
        constructor(
          @Inject(CONTEXT) readonly request: RequestContext<unknown, BaseRpcContext & { getPattern(): string }>,
        ) {}
        describe() {
          const { pattern, data, context } = this.request;
          return { number: this.number, pattern, data, isOfContext: context?.getPattern() === pattern };
        }
      }
      const told = vi.fn<(request: unknown) => void>();
      @Controller()
      class Handlers {
        constructor(private readonly perRequest: PerRequest) {}
        @MessagePattern('asked')
        asked() {
          return this.perRequest.describe();
        }
        @EventPattern<string>('told')
        told() {
          told(this.perRequest.describe());
        }
      }
      const { client } = await start(transport, { controllers: [Handlers], providers: [PerRequest] });
      const request = { pattern: 'asked', data: 'a', isOfContext: true };
      expect(await ask(client, 'asked', 'a')).toEqual([{ ...request, number: 1 }]);
      expect(await ask(client, 'asked', 'a')).toEqual([{ ...request, number: 2 }]);
      await tell(client, 'told', 'b');
      await expect
        .poll(() => told.mock.calls)
        .toEqual([[{ pattern: 'told', data: 'b', isOfContext: true, number: 3 }]]);
    },
  });

  behaviour('durable', 'A durable provider is made once for each sub-tree that a `ContextIdStrategy` tells apart', {
    async both(transport) {
      let made = 0;
      @Injectable({ scope: Scope.REQUEST, durable: true })
      class PerTenant {
        readonly number = ++made;
      }
      @Controller({ scope: Scope.REQUEST, durable: true })
      class Handlers {
        constructor(private readonly perTenant: PerTenant) {}
        @MessagePattern('asked')
        asked() {
          return this.perTenant.number;
        }
      }
      const tenants = new Map<unknown, ContextId>();
      ContextIdFactory.apply({
        attach(contextId: ContextId, request: RequestContext<unknown>) {
          const tenant = tenants.get(request.data) ?? ContextIdFactory.create();
          tenants.set(request.data, tenant);
          return {
            resolve: ({ isTreeDurable }: HostComponentInfo) => (isTreeDurable ? tenant : contextId),
            payload: { tenant: request.data },
          };
        },
      });
      onTestFinished(() => ContextIdFactory.apply({ attach: () => undefined }));
      const { client } = await start(transport, { controllers: [Handlers], providers: [PerTenant] });
      expect(await ask(client, 'asked', 'blue')).toEqual([1]);
      expect(await ask(client, 'asked', 'blue')).toEqual([1]);
      expect(await ask(client, 'asked', 'red')).toEqual([2]);
      expect(await ask(client, 'asked', 'blue')).toEqual([1]);
    },
  });
});
