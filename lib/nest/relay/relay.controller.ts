/**
 * The handlers of an edge: one for each listed name, as a controller, so the guards and interceptors of the app apply to them. The
 * subject comes from the list and never from a board: a board must not choose a subject of the broker.
 */
import { Controller, Inject, type Type } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { BEN_UDP_TRANSPORT } from '../../constants.js';
import type { BenUdpContext } from '../ben-udp.context.js';
import { Relay } from './relay.js';
import type { ResolvedRelayOptions } from './relay-options.js';

type Handler = (this: { readonly relay: Relay }, data: unknown, context: BenUdpContext) => Promise<unknown>;

export function createRelayController({ messages, events }: ResolvedRelayOptions): Type {
  class BenUdpRelayController {
    constructor(readonly relay: Relay) {}
  }
  const add = (name: string, handler: Handler, decorator: MethodDecorator) => {
    Object.defineProperty(BenUdpRelayController.prototype, name, {
      value: handler,
      configurable: true,
      writable: true,
    });
    Payload()(BenUdpRelayController.prototype, name, 0);
    Ctx()(BenUdpRelayController.prototype, name, 1);
    decorator(BenUdpRelayController.prototype, name, { value: handler });
  };
  for (const pattern of messages) {
    add(
      `ask ${pattern}`,
      function ask(data, context) {
        return this.relay.ask(pattern, data, context);
      },
      MessagePattern(pattern, BEN_UDP_TRANSPORT),
    );
  }
  for (const pattern of events) {
    add(
      `tell ${pattern}`,
      function tell(data, context) {
        return this.relay.tell(pattern, data, context);
      },
      EventPattern<unknown>(pattern, BEN_UDP_TRANSPORT),
    );
  }
  // Decorators are applied as the functions they are, because the library is compiled without them.
  Inject(Relay)(BenUdpRelayController, undefined, 0);
  Controller()(BenUdpRelayController);
  return BenUdpRelayController;
}
