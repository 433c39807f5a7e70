import { Injectable, type OnModuleInit } from '@nestjs/common';
import { BEN_UDP_HEALTH_PATTERN, type BenUdpExchange, BenUdpTransport } from 'nestjs-ben-udp';
import { StreamService } from '../page/stream.service.js';

const KEPT = 100;

/** One exchange. The times of its steps are milliseconds after its first one. */
export interface ExchangeRecord {
  readonly number: number;
  /** When it ended, in milliseconds since the epoch. */
  readonly at: number;
  readonly board: string | null;
  readonly pattern: string;
  readonly outcome: string;
  /** The answer to the hello was sent; `null` if the board needed none, as with protocol v2. */
  readonly hello: number | null;
  readonly request: number;
  readonly handler: number;
  /** The reply was sent, or the handlers of an event had run. */
  readonly end: number;
}

/** The latest exchanges, step by step. The time between hello and request is that of the network and of the board together. */
@Injectable()
export class ExchangesService implements OnModuleInit {
  private readonly records: ExchangeRecord[] = [];
  private number = 0;

  constructor(
    private readonly transport: BenUdpTransport,
    private readonly stream: StreamService,
  ) {}

  onModuleInit(): void {
    this.transport.on('exchange', (exchange) => exchange.pattern !== BEN_UDP_HEALTH_PATTERN && this.record(exchange));
  }

  /** The newest first. */
  list(): ExchangeRecord[] {
    return this.records.toReversed();
  }

  private record({ pattern, device, outcome, durationMs, ...times }: BenUdpExchange): void {
    const { pairSentAt, receivedAt, handlerAt, repliedAt = receivedAt + durationMs } = times;
    const begin = pairSentAt ?? receivedAt;
    const after = (time: number) => Math.round((time - begin) * 1000) / 1000;
    const record: ExchangeRecord = {
      number: ++this.number,
      at: Date.now(),
      board: device ?? null,
      pattern,
      outcome,
      hello: pairSentAt === undefined ? null : 0,
      request: after(receivedAt),
      handler: after(handlerAt),
      end: after(repliedAt),
    };
    this.records.push(record);
    if (this.records.length > KEPT) {
      this.records.shift();
    }
    this.stream.publish('exchange', record);
  }
}
