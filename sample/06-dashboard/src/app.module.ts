import { join } from 'node:path';
import { type DynamicModule, Global, Module } from '@nestjs/common';
import { BenUdpModule } from 'nestjs-ben-udp';
import { BoardController } from './boards/board.controller.js';
import { ExchangesService } from './boards/exchanges.service.js';
import { IngestService } from './boards/ingest.service.js';
import { MailboxService } from './boards/mailbox.service.js';
import { RejectionsService } from './boards/rejections.service.js';
import { RetentionService } from './boards/retention.service.js';
import { RosterService } from './boards/roster.service.js';
import { DatabaseModule } from './database/database.module.js';
import { LoginController } from './login/login.controller.js';
import { SessionsService } from './login/sessions.service.js';
import { ApiController } from './page/api.controller.js';
import { StreamService } from './page/stream.service.js';
import { SETTINGS, type Settings } from './settings.js';

@Global()
@Module({})
class SettingsModule {
  static with(settings: Settings): DynamicModule {
    return { module: SettingsModule, providers: [{ provide: SETTINGS, useValue: settings }], exports: [SETTINGS] };
  }
}

/** Boards that wait for a command get their reply after nine tenths of it. */
const SHUTDOWN_MS = 2000;

@Module({})
export class AppModule {
  static with(settings: Settings): DynamicModule {
    const { boardHost: host, boardPort: port, keyFolder: keyDirectory } = settings;
    const knownBoardsFile = join(settings.dataFolder, 'known-boards');
    return {
      module: AppModule,
      imports: [
        SettingsModule.with(settings),
        DatabaseModule,
        BenUdpModule.forRoot({
          host,
          port,
          keyDirectory,
          watchKeyFiles: true,
          knownBoardsFile,
          // One process answers all boards, so those of protocol v2 need not notice its restart.
          route: 1,
          shutdownTimeout: SHUTDOWN_MS,
        }),
      ],
      controllers: [BoardController, ApiController, LoginController],
      providers: [
        ExchangesService,
        IngestService,
        MailboxService,
        RejectionsService,
        RetentionService,
        RosterService,
        SessionsService,
        StreamService,
      ],
    };
  }
}
