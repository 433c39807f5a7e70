import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, propagation, trace } from '@opentelemetry/api';
import { BEN_UDP_HEALTH_PATTERN, type BenUdpExchange } from 'nestjs-ben-udp';

const EXCHANGE_CHANNEL = 'nestjs-ben-udp:exchange';

const SUCCESSES: readonly string[] = ['answered', 'event'];

/**
 * Makes a span for each exchange, with the API of OpenTelemetry. It does nothing without an SDK, which `main.ts` sets up. If a caller
 * sends `traceparent` in addition to the payload, the span is a child of the caller's span. Unmodified boards begin a trace.
 */
@Injectable()
export class TracingService implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger('Tracing');

  onModuleInit(): void {
    subscribe(EXCHANGE_CHANNEL, this.record);
  }

  onModuleDestroy(): void {
    unsubscribe(EXCHANGE_CHANNEL, this.record);
  }

  /** Never throws: Node turns an error of a subscriber into an uncaught exception, which ends the process. */
  private readonly record = (message: unknown): void => {
    try {
      this.addSpan(message as BenUdpExchange);
    } catch (error) {
      this.logger.error(error);
    }
  };

  private addSpan({ pattern, device, remote, metadata, outcome, durationMs }: BenUdpExchange): void {
    if (pattern === BEN_UDP_HEALTH_PATTERN) {
      return;
    }
    const endTime = Date.now();
    const span = trace.getTracer('nestjs-ben-udp').startSpan(
      pattern,
      {
        kind: SpanKind.SERVER,
        startTime: endTime - durationMs,
        attributes: {
          'rpc.method': pattern,
          'network.transport': 'udp',
          'network.peer.address': remote.address,
          'network.peer.port': remote.port,
          'ben_udp.outcome': outcome,
          ...(device !== undefined && { 'ben_udp.device': device }),
        },
      },
      propagation.extract(ROOT_CONTEXT, metadata ?? {}),
    );
    if (!SUCCESSES.includes(outcome)) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: outcome });
    }
    span.end(endTime);
  }
}
