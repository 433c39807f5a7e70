/**
 * An edge: an app that talks to boards, and whose handlers run on workers behind a broker.
 */
import type { DynamicModule } from '@nestjs/common';
import { type Platform, nodePlatform } from '../../net/index.js';
import { Relay } from './relay.js';
import { createRelayClient } from './relay-client.js';
import { createRelayController } from './relay.controller.js';
import { type BenUdpRelayOptions, resolveRelayOptions } from './relay-options.js';

/** How many modules were made. */
let relays = 0;

/**
 * Relays the listed requests of boards to workers, over a client of Nest. The workers are Nest microservices of `toBenUdpWorker`, or
 * programs in any language.
 *
 *     BenUdpRelayModule.forRoot({
 *       client: { transport: Transport.NATS, options: { servers: 'nats://localhost:4222' } },
 *       messages: ['temperature', 'led'],
 *       events: ['report'],
 *     })
 *
 * @publicApi
 */
export class BenUdpRelayModule {
  /** @throws TypeError, RangeError naming the wrong option. */
  static forRoot(options: BenUdpRelayOptions): DynamicModule;
  /**
   * @internal
   * @param platform replaces clock and timers in a test.
   */
  static forRoot(options: BenUdpRelayOptions, platform: Platform): DynamicModule;
  static forRoot(options: BenUdpRelayOptions, platform: Platform = nodePlatform): DynamicModule {
    const resolved = resolveRelayOptions(options);
    const useFactory = () => new Relay(createRelayClient(options.client, platform), resolved, platform);
    // With `moduleIdGeneratorAlgorithm: 'deep-hash'`, Nest drops a module whose metadata look like those of another.
    const mark = { provide: Symbol(`relay ${++relays}`), useValue: undefined };
    return {
      module: BenUdpRelayModule,
      controllers: [createRelayController(resolved)],
      providers: [{ provide: Relay, useFactory }, mark],
    };
  }
}
