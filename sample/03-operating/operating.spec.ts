import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import type { INestApplication } from '@nestjs/common';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { ROOT_CONTEXT, SpanStatusCode, propagation, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { BenUdpClient, BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { firstValueFrom } from 'rxjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AppModule } from './app.module.js';
import { SettingsService } from './settings.service.js';

const key = randomBytes(32);
const settings: BenUdpTransportOptions = {
  host: '127.0.0.1',
  port: 0,
  keys: { 'board-01': key },
  silentAfter: 100,
  shutdownTimeout: 0,
};

describe('03-operating', () => {
  const spans = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
  const lines: string[] = [];
  let app: INestApplication;
  let transport: BenUdpTransport;
  let board: VirtualBoard;
  let url: string;

  beforeAll(() => {
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    trace.setGlobalTracerProvider(provider);
  });

  afterAll(() => {
    propagation.disable();
    trace.disable();
  });

  beforeEach(async () => {
    const note = (line: unknown) => void lines.push(String(line));
    const logger = { log: () => undefined, error: note, warn: note };
    const module = await Test.createTestingModule({ imports: [AppModule] })
      .overrideProvider(SettingsService)
      .useValue({ forBoards: () => settings })
      .setLogger(logger)
      .compile();
    app = module.createNestApplication();
    transport = app.get(BenUdpTransport);
    app.connectMicroservice<MicroserviceOptions>({ strategy: transport });
    await app.startAllMicroservices();
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    board = await VirtualBoard.start({ key, port: transport.unwrap().address().port });
  });

  afterEach(async () => {
    await Promise.all([board.close(), app.close()]);
    spans.reset();
    lines.length = 0;
  });

  async function readMetrics(): Promise<string> {
    return (await fetch(`${url}/metrics`)).text();
  }

  it('is healthy, by an exchange of its own', async () => {
    const response = await fetch(`${url}/health`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ status: 'ok', details: { boards: { status: 'up' } } });
    expect(transport.getStats().requests).toBe(1);
  });

  it('is not healthy if nobody reads its socket', async () => {
    transport.unwrap().removeAllListeners('message');
    const response = await fetch(`${url}/health`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { boards: { status: 'down', code: 'BEN_TIMEOUT' } } });
  });

  it('gives Prometheus the counters of the transport', async () => {
    await board.send({ action: 'echo', data: 1 });
    await board.send({ action: 'nobody' });
    board.sendDatagram(Buffer.from('noise'));
    await expect.poll(() => transport.getStats().received).toBe(5);
    const metrics = await readMetrics();
    expect(metrics).toContain('ben_udp_exchanges_total{outcome="answered"} 1\n');
    expect(metrics).toContain('ben_udp_exchanges_total{outcome="error-reply"} 1\n');
    expect(metrics).toContain('ben_udp_rejected_total{reason="unknown-datagram"} 1\n');
    expect(metrics).toContain('ben_udp_received 5\n');
    expect(metrics).toContain('ben_udp_in_flight 0\n');
    expect(metrics).toContain('ben_udp_exchange_duration_seconds_count{outcome="answered"} 1\n');
    const [, seconds] = /last_seen_timestamp_seconds\{device="board-01"\} (\S+)/.exec(metrics) ?? [];
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(10);
    // Each scrape reads the counters again, and does not add them up.
    expect(await readMetrics()).toContain('ben_udp_exchanges_total{outcome="answered"} 1\n');
  });

  it('begins a trace for a board, and leaves its own health checks out', async () => {
    await fetch(`${url}/health`);
    await board.send({ action: 'temperature' });
    await board.send({ action: 'nobody' });
    const [temperature, nobody, ...others] = spans.getFinishedSpans();
    expect(others).toEqual([]);
    expect(temperature).toMatchObject({
      name: 'temperature',
      parentSpanContext: undefined,
      attributes: { 'ben_udp.device': 'board-01', 'ben_udp.outcome': 'answered' },
      status: { code: SpanStatusCode.UNSET },
    });
    expect(nobody).toMatchObject({ name: 'nobody', status: { code: SpanStatusCode.ERROR, message: 'error-reply' } });
  });

  it("goes on with a client's trace", async () => {
    const client = new BenUdpClient({ port: transport.unwrap().address().port, key });
    const span = provider.getTracer('client').startSpan('ask the server');
    client.setOnDispatchHook((packet) => {
      packet.metadata = {};
      propagation.inject(trace.setSpan(ROOT_CONTEXT, span), packet.metadata);
    });
    await firstValueFrom(client.send('temperature', {}));
    await client.close();
    const [received] = spans.getFinishedSpans();
    expect(received!.spanContext().traceId).toBe(span.spanContext().traceId);
    expect(received!.parentSpanContext?.spanId).toBe(span.spanContext().spanId);
  });

  it('tells a board that asks too often, and does not fill the log with it', async () => {
    const answers = [];
    for (let number = 0; number < 61; number++) {
      answers.push(await board.exchange("{'action': 'echo', 'data': 1}"));
    }
    expect(answers.slice(0, 60)).toEqual(Array(60).fill('{"data":1}'));
    expect(answers[60]).toBe('{"data":null,"error":{"status":"error","message":"too many requests"}}');
    expect(lines.filter((line) => !line.includes('last heard'))).toEqual([]);
  });

  it('lists the boards, and says which have fallen silent', async () => {
    await board.send({ action: 'dhtsensor', data: {} }, { noreturn: true });
    await expect.poll(() => transport.getDevices()).toMatchObject([{ name: 'board-01', requests: 1 }]);
    const response = await fetch(`${url}/devices`);
    expect(await response.json()).toMatchObject([{ name: 'board-01', isNamed: true, requests: 1 }]);
    await expect.poll(() => lines).toEqual([expect.stringContaining('board-01 at 127.0.0.1 was last heard at')]);
    expect(transport.getDevices()).toMatchObject([{ name: 'board-01', isSilent: true }]);
  });
});
