/**
 * Options that come from other providers. Nest does not await an async `useFactory` of a custom strategy, and silently starts TCP
 * instead. Here the transport is a provider, and Nest awaits providers.
 */
import {
  type DynamicModule,
  Inject,
  type InjectionToken,
  type ModuleMetadata,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OptionalFactoryDependency,
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
  /** The arguments of the factory. */
  inject?: Array<InjectionToken | OptionalFactoryDependency>;
  /** `never[]` accepts a function with any parameters: only its author knows the injected types. */
  useFactory: (...args: never[]) => BenUdpTransportOptions | Promise<BenUdpTransportOptions>;
  /** Whether other modules can inject the transport without importing this one. Default false. */
  isGlobal?: boolean;
}

/**
 * Provides the transport, under its class and under the symbol `BEN_UDP_TRANSPORT`, and a `BenUdpHealthIndicator`.
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
  /** For options that are known at once. */
  static forRoot(options: BenUdpTransportOptions): DynamicModule {
    // Nest keeps the factory and everything it holds until the app ends.
    const kept = withoutKeyBytes(options);
    return BenUdpModule.forRootAsync({ useFactory: () => kept });
  }

  /** For options that a factory makes from other providers. Nest awaits the factory. */
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
        // In another copy of this package the class is another token, but the symbol is the same.
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

/**
 * Injects the transport of `BenUdpModule`: `constructor(@InjectBenUdpTransport() private readonly boards: BenUdpTransport) {}`. It
 * needs only the type, and also works if the class comes from another copy of this package.
 *
 * @publicApi
 */
export function InjectBenUdpTransport(): ParameterDecorator & PropertyDecorator {
  return Inject(BEN_UDP_TRANSPORT);
}

/** Observes the start and the end of the app, which Nest does not report to a strategy. */
class TransportLifecycle implements OnApplicationBootstrap, OnModuleDestroy {
  constructor(private readonly transport: BenUdpTransport) {}

  onApplicationBootstrap(): void {
    this.transport.remindToListen();
  }

  /**
   * Nest closes the transport after every `onModuleDestroy`. Handlers may need the resources that those hooks close, so the transport
   * issues no ids from now on. With `reusePort` Nest waits here until the other processes have the boards.
   */
  onModuleDestroy(): Promise<void> {
    return this.transport.stopIssuing();
  }
}
