/**
 * Options that come from other providers. Nest does not await an async `useFactory` of a custom strategy, and starts TCP
 * instead without a word; here the transport is a provider, and Nest awaits those.
 */
import type {
  DynamicModule,
  InjectionToken,
  ModuleMetadata,
  OnApplicationBootstrap,
  OnModuleDestroy,
  OptionalFactoryDependency,
} from '@nestjs/common';
import { BEN_UDP_TRANSPORT } from '../constants.js';
import { BenUdpHealthIndicator } from './ben-udp.health.js';
import type { BenUdpTransportOptions } from './ben-udp.transport-options.js';
import { BenUdpTransport } from './ben-udp.transport.js';
import { withoutKeyBytes } from '../keys/index.js';

/** Options of `BenUdpModule.forRootAsync`. */
export interface BenUdpModuleAsyncOptions {
  /** Modules whose providers the factory needs. */
  imports?: ModuleMetadata['imports'];
  /** What the factory is called with. */
  inject?: Array<InjectionToken | OptionalFactoryDependency>;
  /** `never[]` takes a function of any parameters: what is injected is known to its author alone. */
  useFactory: (...args: never[]) => BenUdpTransportOptions | Promise<BenUdpTransportOptions>;
  /** Whether other modules can inject the transport without importing this one. Default false. */
  isGlobal?: boolean;
}

/**
 * Makes the transport a provider, under its class and under the symbol `BEN_UDP_TRANSPORT`, and beside it a `BenUdpHealthIndicator`.
 *
 *     // app.module.ts
 *     BenUdpModule.forRootAsync({
 *       inject: [ConfigService],
 *       useFactory: (config: ConfigService) => ({ port: Number(config.get('BEN_PORT')), keyFile: config.get('BEN_KEY_FILE') }),
 *     })
 *     // main.ts
 *     app.connectMicroservice({ strategy: app.get(BenUdpTransport) });
 *
 * @publicApi
 */
export class BenUdpModule {
  /** With options that are known at once. */
  static forRoot(options: BenUdpTransportOptions): DynamicModule {
    // Nest keeps the factory, and so what it holds, as long as the app lives.
    const kept = withoutKeyBytes(options);
    return BenUdpModule.forRootAsync({ useFactory: () => kept });
  }

  /** With options that a factory makes, from other providers and in its own time; Nest waits for it. */
  static forRootAsync({ imports, inject, useFactory, isGlobal }: BenUdpModuleAsyncOptions): DynamicModule {
    return {
      module: BenUdpModule,
      global: isGlobal ?? false,
      imports: imports ?? [],
      providers: [
        {
          provide: BenUdpTransport,
          inject: inject ?? [],
          useFactory: async (...args: never[]) => new BenUdpTransport(await useFactory(...args)),
        },
        {
          provide: TransportLifecycle,
          inject: [BenUdpTransport],
          useFactory: (transport: BenUdpTransport) => new TransportLifecycle(transport),
        },
        // The class of another copy of this package is another token; the symbol is the same.
        { provide: BEN_UDP_TRANSPORT, useExisting: BenUdpTransport },
        {
          provide: BenUdpHealthIndicator,
          inject: [BenUdpTransport],
          useFactory: (transport: BenUdpTransport) => new BenUdpHealthIndicator(transport),
        },
      ],
      exports: [BenUdpTransport, BEN_UDP_TRANSPORT, BenUdpHealthIndicator],
    };
  }
}

/** Hears of the app's start and end, which Nest never tells a strategy. */
class TransportLifecycle implements OnApplicationBootstrap, OnModuleDestroy {
  constructor(private readonly transport: BenUdpTransport) {}

  onApplicationBootstrap(): void {
    this.transport.remindToListen();
  }

  /**
   * Nest closes the transport after every `onModuleDestroy`. Handlers may need what those close, so no board is asked to send a
   * request from here on.
   */
  onModuleDestroy(): void {
    this.transport.stopIssuing();
  }
}
