/** The types of the decorators, with a map of actions and without. Each source is a program of its own. */
import { describe, expect, it, vi } from 'vitest';
import { compileSource } from '../support/compile-source.js';

// The compiler is slow on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const IMPORTS = `
  import { Payload } from '@nestjs/microservices';
  import {
    AllowDevices, BenUdpEventPattern, BenUdpMessagePattern, Device, ReceivedAt, RequestMetadata, Signal, type BenUdpData, type BenUdpReply,
  } from 'nestjs-ben-udp';
  import { type Observable, of } from 'rxjs';
  type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
  const check = <Claim extends true>() => undefined as Claim | undefined;
`;

const MAP = `
  interface Reading { temperature: number }
  declare module 'nestjs-ben-udp' {
    interface BenUdpActions {
      temperature: { data: void; reply: { celsius: number } };
      led: { data: boolean; reply: string };
      reset: { data: void; reply: void };
      dhtsensor: { data: Reading };
      dim: { readonly data?: number; readonly reply?: string };
      name: { data: string | undefined; reply: null };
    }
  }
`;

const handlers = (body: string) => `class Handlers {\n${body}\n}`;

describe('the decorators, with a map of actions', () => {
  it('accept its names, and handlers that give its replies', () => {
    const source = handlers(`
      @BenUdpMessagePattern('temperature') value(@Device() device: string) { return { celsius: 21.5 }; }
      @BenUdpMessagePattern('temperature') async promise() { return { celsius: 21.5, unit: 'C' }; }
      @BenUdpMessagePattern('temperature') stream(): Observable<{ celsius: number }> { return of({ celsius: 21.5 }); }
      @BenUdpMessagePattern('temperature') async later() { return of({ celsius: 21.5 }); }
      @BenUdpMessagePattern('temperature') fails(): never { throw new Error('broken'); }
      @BenUdpMessagePattern('led') @AllowDevices('kitchen')
      led(@Payload() on: BenUdpData<'led'>, @Signal() signal: AbortSignal) { return on ? 'on' : 'off'; }
      @BenUdpMessagePattern('reset') reset() {}
      @BenUdpMessagePattern('reset') async resetLater() {}
      @BenUdpMessagePattern('dim') dim(@Payload() level?: BenUdpData<'dim'>) { return level === undefined ? undefined : 'dimmed'; }
      @BenUdpMessagePattern({ cmd: 'sum' }) object() { return 1; }
      @BenUdpMessagePattern(7, { cost: 3 }) number() { return 1; }
      @BenUdpEventPattern('dhtsensor')
      report(@Device() device: string, @Payload() reading: Reading, @ReceivedAt() at: Date, @RequestMetadata('trace') trace?: string) {}
      @BenUdpEventPattern('led') ledWithoutReply(@Payload() on: boolean, @Device() device: string) {}
      @BenUdpEventPattern({ cmd: 'sum' }) objectEvent() {}
    `);
    const types = `
      check<Equal<BenUdpData<'led'>, boolean>>();
      check<Equal<BenUdpData<'temperature'>, void>>();
      check<Equal<BenUdpData<'dhtsensor'>, Reading>>();
      check<Equal<BenUdpReply<'led'>, string>>();
      check<Equal<BenUdpReply<'dhtsensor'>, unknown>>();
      check<Equal<BenUdpData<'dim'>, number | undefined>>();
      check<Equal<BenUdpReply<'dim'>, string | undefined>>();
      check<Equal<BenUdpData<'name'>, string | undefined>>();
      check<Equal<BenUdpData<'other'>, unknown>>();
    `;
    expect(compileSource([IMPORTS, MAP, types, source].join('\n'))).toEqual([]);
  });

  it.each([
    ['an unknown name', `@BenUdpMessagePattern('temprature') wrong() { return { celsius: 1 }; }`, 'temprature'],
    ['an action without a reply', `@BenUdpMessagePattern('dhtsensor') wrong() {}`, 'dhtsensor'],
    ['an unknown event', `@BenUdpEventPattern('dhtsensr') wrong() {}`, 'dhtsensr'],
    ['another reply', `@BenUdpMessagePattern('temperature') wrong() { return 21.5; }`, 'number'],
    ['another reply in a promise', `@BenUdpMessagePattern('led') async wrong() { return 1; }`, 'Promise<number>'],
    ['another reply in a stream', `@BenUdpMessagePattern('led') wrong() { return of(1); }`, 'Observable<number>'],
    ['no reply', `@BenUdpMessagePattern('led') wrong() {}`, 'void'],
  ])('refuse %s', (_case, method, named) => {
    const errors = compileSource([IMPORTS, MAP, handlers(method)].join('\n'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(named);
  });
});

describe('the decorators, without a map of actions', () => {
  it('accept every name and every reply', () => {
    const source = handlers(`
      @BenUdpMessagePattern('temperature') value(@Device() device: string) { return 21.5; }
      @BenUdpMessagePattern('sensors.*') nothing() {}
      @BenUdpEventPattern('dhtsensor') report(@Device() device: string, @Payload() reading: { temperature: number }) {}
    `);
    const types = `check<Equal<BenUdpData<'led'>, unknown>>();`;
    expect(compileSource([IMPORTS, types, source].join('\n'))).toEqual([]);
  });

  it('refuse pipes and names of another type', () => {
    const wrong = [
      `@AllowDevices(7) number() {}`,
      `pipe(@Device('name') device: string) {}`,
      `key(@RequestMetadata(7) trace: string) {}`,
      `signal(@Signal({ transform: (value: unknown) => value }) signal: AbortSignal) {}`,
    ];
    const lines = wrong.map((line) => `// @ts-expect-error\n${line}`);
    expect(compileSource([IMPORTS, handlers(lines.join('\n'))].join('\n'))).toEqual([]);
  });
});

describe('a client and a board with a map of actions', () => {
  const USES = `
    import { BenUdpClient, type BenUdpActions, BenUdpRecordBuilder } from 'nestjs-ben-udp';
    import { VirtualBoard } from 'nestjs-ben-udp/testing';
    import type { ClientProxy } from '@nestjs/microservices';
    import { type Observable } from 'rxjs';
    declare const client: BenUdpClient<BenUdpActions>;
    declare const board: VirtualBoard<BenUdpActions>;
    declare const untyped: BenUdpClient;
  `;

  it('accept its names and data, and have its replies', () => {
    const source = `
      const celsius: Observable<{ celsius: number }> = client.send('temperature');
      const led: Observable<string> = client.send('led', true);
      const record: Observable<string> = client.send('led', new BenUdpRecordBuilder(true).setTimeout(100).build());
      const empty = client.send('temperature', new BenUdpRecordBuilder().setRetries(2).build());
      client.emit('dhtsensor', { temperature: 21.5 });
      client.emit('reset');
      const dimmed: Observable<string | undefined>[] = [client.send('dim', 5), client.send('dim')];
      client.emit('name');
      client.send('name', new BenUdpRecordBuilder('hall').setRetries(1).build());
      const proxies: ClientProxy[] = [client, untyped];
      const number: Observable<number> = untyped.send<number>('any', 1);
      const inferred: Observable<number> = untyped.send({ cmd: 'any' }, 1);
      export async function ask() {
        const value: string = await board.send({ action: 'led', data: true });
        const { celsius } = await board.send({ action: 'temperature' });
        await board.send({ action: 'dim', data: 5 });
        await board.send({ action: 'dim' });
        await board.send({ action: 'name' });
        await board.send({ action: 'dhtsensor', data: { temperature: celsius } }, { noreturn: true });
        const typed: VirtualBoard<BenUdpActions> = await VirtualBoard.start<BenUdpActions>({ key: new Uint8Array(32), port: 1 });
        const other: unknown = await (await VirtualBoard.start({ key: new Uint8Array(32), port: 1 })).send({ action: 7, data: 1 });
        const [ignored] = await untyped.once('ignored');
        const reason: string = ignored.reason;
      }
    `;
    expect(compileSource([USES, MAP, source].join('\n'))).toEqual([]);
  });

  it('refuse other names, data and replies', () => {
    const wrong = [
      `client.send('ledd', true);`,
      `client.send('led', 'on');`,
      `client.send('led');`,
      `client.send('temperature', 1);`,
      `client.send('dhtsensor', { temperature: 1 });`,
      `const text: Observable<string> = client.send('temperature');`,
      `client.send('dim', 'half');`,
      `client.emit('unknown', 1);`,
      `client.emit('dhtsensor', { humidity: 1 });`,
      `board.send({ action: 'ledd', data: true });`,
      `board.send({ action: 'led', data: 'on' });`,
      `board.send({ action: 'led' });`,
      `board.send({ action: 'temperature', data: 1 });`,
    ];
    const lines = wrong.map((line) => `// @ts-expect-error\n${line}`);
    expect(compileSource([USES, MAP, ...lines].join('\n'))).toEqual([]);
  });
});
