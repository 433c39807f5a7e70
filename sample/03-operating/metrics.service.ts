import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type BenUdpExchange, type BenUdpStats, BenUdpTransport } from 'nestjs-ben-udp';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

const EXCHANGE_CHANNEL = 'nestjs-ben-udp:exchange';

/**
 * Metrics for Prometheus. Counters are read from the transport at each scrape. Distributions come from the diagnostics channel. A board
 * or a stranger can't choose the value of a label, because each value is a time series.
 */
@Injectable()
export class MetricsService implements OnModuleInit, OnModuleDestroy {
  readonly registry = new Registry();
  private readonly duration = new Histogram({
    name: 'ben_udp_exchange_duration_seconds',
    help: 'From a request to its reply, or to the end of its handlers',
    labelNames: ['outcome'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
    registers: [this.registry],
  });

  constructor(@Inject(BenUdpTransport) private readonly transport: BenUdpTransport) {
    this.count('ben_udp_exchanges_total', 'Requests that have ended', 'outcome', ({ outcomes }) => outcomes);
    this.count('ben_udp_rejected_total', 'Datagrams that got no answer', 'reason', ({ rejected }) => rejected);
    this.measure('ben_udp_received', 'Datagrams that came in', ({ received }) => received);
    this.measure('ben_udp_in_flight', 'Requests whose handlers run', ({ inFlight }) => inFlight);
    this.measure('ben_udp_endpoints', 'Verified endpoints that are remembered', ({ endpoints }) => endpoints);
    this.noteDevices();
  }

  onModuleInit(): void {
    subscribe(EXCHANGE_CHANNEL, this.observe);
  }

  onModuleDestroy(): void {
    unsubscribe(EXCHANGE_CHANNEL, this.observe);
  }

  private readonly observe = (message: unknown): void => {
    const { outcome, durationMs } = message as BenUdpExchange;
    this.duration.observe({ outcome }, durationMs / 1000);
  };

  private count(
    name: string,
    help: string,
    label: string,
    read: (stats: BenUdpStats) => Readonly<Record<string, number>>,
  ): void {
    const { transport } = this;
    const counter = new Counter({
      name,
      help,
      labelNames: [label],
      registers: [],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read(transport.getStats()))) {
          this.inc({ [label]: value }, count);
        }
      },
    });
    this.registry.registerMetric(counter);
  }

  private measure(name: string, help: string, read: (stats: BenUdpStats) => number): void {
    const { transport } = this;
    const gauge = new Gauge({
      name,
      help,
      registers: [],
      collect() {
        this.set(read(transport.getStats()));
      },
    });
    this.registry.registerMetric(gauge);
  }

  /** Only for devices with a name: their number is that of the keys, while addresses come and go. */
  private noteDevices(): void {
    const { transport } = this;
    const gauge = new Gauge({
      name: 'ben_udp_device_last_seen_timestamp_seconds',
      help: 'When a device was last heard',
      labelNames: ['device'],
      registers: [],
      collect() {
        this.reset();
        for (const { name, isNamed, lastSeenAt } of transport.getDevices()) {
          if (isNamed && lastSeenAt !== undefined) {
            this.set({ device: name }, lastSeenAt / 1000);
          }
        }
      },
    });
    this.registry.registerMetric(gauge);
  }
}
