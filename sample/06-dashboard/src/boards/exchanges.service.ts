import type { RemoteInfo, Socket } from 'node:dgram';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { BEN_UDP_HEALTH_PATTERN, type BenUdpExchange, BenUdpTransport } from 'nestjs-ben-udp';
import { StreamService } from '../page/stream.service.js';

const KEPT = 100;

/** Endpoints whose datagrams are timed. Strangers can be any number; the oldest make room. */
const MAX_ENDPOINTS = 4096;

const HELLO_BYTES = 6;

/** One exchange; times are milliseconds after its hello. */
export interface ExchangeRecord {
  readonly number: number;
  /** When it ended, in milliseconds since the epoch. */
  readonly at: number;
  readonly board: string | null;
  readonly pattern: string;
  readonly outcome: string;
  readonly request: number;
  /** `null` if no handler ran. */
  readonly handler: readonly [begin: number, end: number] | null;
  /** When the reply was sent, or its handlers had run. */
  readonly end: number;
}

interface Times {
  hello: number;
  request: number;
  begin?: number;
  end?: number;
}

/**
 * Times the steps of each exchange: hello and request from the socket, the handler from an interceptor, the end from the transport. The
 * clock is this machine's, so the time between hello and request is that of the network and of the board together.
 */
@Injectable()
export class ExchangesService implements OnModuleInit {
  private readonly endpoints = new Map<string, Times>();
  private readonly records: ExchangeRecord[] = [];
  private number = 0;

  constructor(
    private readonly transport: BenUdpTransport,
    private readonly stream: StreamService,
  ) {}

  onModuleInit(): void {
    this.transport.on('listening', () =>
      this.transport.unwrap<Socket>().on('message', (datagram, remote) => this.time(datagram, remote)),
    );
    this.transport.on('exchange', (exchange) => this.record(exchange));
  }

  /** The newest first. */
  list(): ExchangeRecord[] {
    return this.records.toReversed();
  }

  beginHandler(address: string, port: number): void {
    const times = this.endpoints.get(endpointOf({ address, port }));
    if (times) {
      times.begin = performance.now();
      times.end = undefined;
    }
  }

  endHandler(address: string, port: number): void {
    const times = this.endpoints.get(endpointOf({ address, port }));
    if (times) {
      times.end = performance.now();
    }
  }

  private time(datagram: Uint8Array, remote: RemoteInfo): void {
    const endpoint = endpointOf(remote);
    const now = performance.now();
    const isHello = datagram.length === HELLO_BYTES;
    const times = isHello ? { hello: now, request: now } : this.endpoints.get(endpoint);
    if (!times) {
      return;
    }
    times.request = now;
    this.endpoints.delete(endpoint);
    this.endpoints.set(endpoint, times);
    if (this.endpoints.size > MAX_ENDPOINTS) {
      const [oldest] = this.endpoints.keys();
      this.endpoints.delete(oldest!);
    }
  }

  private record({ pattern, device, outcome, remote }: BenUdpExchange): void {
    const times = this.endpoints.get(endpointOf(remote));
    if (!times || pattern === BEN_UDP_HEALTH_PATTERN) {
      return;
    }
    const { hello, request, begin, end = performance.now() } = times;
    this.endpoints.delete(endpointOf(remote));
    const after = (time: number) => Math.round((time - hello) * 1000) / 1000;
    const record: ExchangeRecord = {
      number: ++this.number,
      at: Date.now(),
      board: device ?? null,
      pattern,
      outcome,
      request: after(request),
      handler: begin === undefined ? null : [after(begin), after(end)],
      end: after(performance.now()),
    };
    this.records.push(record);
    if (this.records.length > KEPT) {
      this.records.shift();
    }
    this.stream.publish('exchange', record);
  }
}

function endpointOf({ address, port }: { address: string; port: number }): string {
  return `${address} ${port}`;
}
