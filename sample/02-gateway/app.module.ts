import { Module } from '@nestjs/common';
import { ClientsModule } from '@nestjs/microservices';
import { BenUdpClient, BenUdpModule } from 'nestjs-ben-udp';
import { GatewayController, ROOF } from './gateway.controller.js';
import { SettingsModule } from './settings.module.js';
import { SettingsService } from './settings.service.js';

@Module({
  imports: [
    BenUdpModule.forRootAsync({
      imports: [SettingsModule],
      inject: [SettingsService],
      useFactory: (settings: SettingsService) => settings.forBoards(),
    }),
    ClientsModule.registerAsync([
      {
        name: ROOF,
        imports: [SettingsModule],
        inject: [SettingsService],
        useFactory: async (settings: SettingsService) => ({
          customClass: BenUdpClient,
          options: await settings.forRoof(),
        }),
      },
    ]),
  ],
  controllers: [GatewayController],
})
export class AppModule {}
