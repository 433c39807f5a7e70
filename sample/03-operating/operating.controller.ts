import { Controller, Get, Header, Inject } from '@nestjs/common';
import { HealthCheck, type HealthCheckResult, HealthCheckService } from '@nestjs/terminus';
import { type BenUdpDevice, BenUdpHealthIndicator, BenUdpTransport, InjectBenUdpTransport } from 'nestjs-ben-udp';
import { MetricsService } from './metrics.service.js';

/** The pages of an operator, over HTTP. */
@Controller()
export class OperatingController {
  constructor(
    @InjectBenUdpTransport() private readonly transport: BenUdpTransport,
    @Inject(BenUdpHealthIndicator) private readonly boards: BenUdpHealthIndicator,
    private readonly health: HealthCheckService,
    private readonly metricsService: MetricsService,
  ) {}

  @Get('health')
  @HealthCheck()
  check(): Promise<HealthCheckResult> {
    return this.health.check([() => this.boards.pingCheck('boards')]);
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  metrics(): Promise<string> {
    return this.metricsService.registry.metrics();
  }

  @Get('devices')
  devices(): BenUdpDevice[] {
    return this.transport.getDevices();
  }
}
