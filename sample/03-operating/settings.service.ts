import { Injectable } from '@nestjs/common';
import type { BenUdpTransportOptions } from 'nestjs-ben-udp';

@Injectable()
export class SettingsService {
  forBoards(): BenUdpTransportOptions {
    return {
      host: process.env['BEN_HOST'] ?? '0.0.0.0',
      port: Number(process.env['BEN_PORT'] ?? 8585),
      keys: { 'board-01': process.env['BEN_KEY_FILE'] ?? 'key.sec' },
      // A new key file takes effect at once.
      watchKeyFiles: true,
      // After a restart, the boards are recognised at once.
      knownBoardsFile: 'known-boards',
      // One process answers all boards, so those of protocol v2 need not notice its restart.
      route: 1,
      // The boards report once a minute; two reports may be lost.
      silentAfter: 180_000,
      shutdownTimeout: 5000,
    };
  }
}
