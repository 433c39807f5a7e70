import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { BenUdpTransport, InjectBenUdpTransport } from 'nestjs-ben-udp';

/** Logs the boards that have fallen silent. */
@Injectable()
export class SilenceService implements OnModuleInit {
  private readonly logger = new Logger('Silence');

  constructor(@InjectBenUdpTransport() private readonly transport: BenUdpTransport) {}

  onModuleInit(): void {
    this.transport.on('deviceSilent', ({ name, address, lastSeenAt }) => {
      this.logger.warn(`${name} at ${address} was last heard at ${new Date(lastSeenAt).toISOString()}`);
    });
  }
}
