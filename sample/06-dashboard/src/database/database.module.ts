import { Global, Inject, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { SETTINGS, type Settings } from '../settings.js';
import { openStore } from './open-store.js';
import { Store } from './store.js';

/** Closes the database after the last handler: Nest ends the transport before this hook. */
@Injectable()
class StoreLifecycle implements OnApplicationShutdown {
  constructor(@Inject(Store) private readonly store: Store) {}

  onApplicationShutdown(): Promise<void> {
    return this.store.close();
  }
}

@Global()
@Module({
  providers: [
    { provide: Store, inject: [SETTINGS], useFactory: (settings: Settings) => openStore(settings) },
    StoreLifecycle,
  ],
  exports: [Store],
})
export class DatabaseModule {}
