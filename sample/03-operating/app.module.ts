import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { ThrottlerModule } from '@nestjs/throttler';
import { BenUdpModule, getBenUdpTracker } from 'nestjs-ben-udp';
import { BoardController } from './board.controller.js';
import { MetricsService } from './metrics.service.js';
import { OperatingController } from './operating.controller.js';
import { SettingsService } from './settings.service.js';
import { SilenceService } from './silence.service.js';
import { TracingService } from './tracing.service.js';

@Module({ providers: [SettingsService], exports: [SettingsService] })
class SettingsModule {}

@Module({
  imports: [
    BenUdpModule.forRootAsync({
      imports: [SettingsModule],
      inject: [SettingsService],
      useFactory: (settings: SettingsService) => settings.forBoards(),
    }),
    TerminusModule,
    ThrottlerModule.forRoot({
      throttlers: [{ limit: 60, ttl: 60_000 }],
      getTracker: getBenUdpTracker,
      // Replies to boards have no headers.
      setHeaders: false,
    }),
  ],
  controllers: [BoardController, OperatingController],
  providers: [MetricsService, SilenceService, TracingService],
})
export class AppModule {}
