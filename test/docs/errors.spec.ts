/** docs/errors.md has exactly the codes, reasons and outcomes of the library, and its replies are the real ones. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller, UseGuards } from '@nestjs/common';
import { MessagePattern, RpcException } from '@nestjs/microservices';
import { BenUdpTransport, REJECTIONS } from 'nestjs-ben-udp';
import { describe, expect, it } from 'vitest';
import { IGNORED_REASONS } from '../../lib/exchange/index.js';
import { startApp } from '../support/nest-app.js';
import { readPage, readTable, root } from './pages.js';

const PAGE = 'docs/errors.md';

/** The names in the first cells of a table, if the cell has nothing else. */
const namesIn = (rows: readonly string[][]) =>
  rows.map(([first]) => /^`([^`]+)`$/.exec(first!)?.[1]).filter((name) => name !== undefined);

/** The members of a union of strings in a source file. */
function readUnion(file: string, name: string): string[] {
  const source = readFileSync(join(root, 'lib', file), 'utf8');
  const [, members] = new RegExp(`type ${name} =(.*?);\\n`, 's').exec(source.replaceAll(/\/\*\*.*?\*\//gs, ''))!;
  return [...members!.matchAll(/'([^']+)'/g)].map(([, member]) => member!);
}

describe('docs/errors.md', () => {
  it('has exactly the codes of the library', () => {
    const codes = [...readUnion('errors.ts', 'BenUdpErrorCode'), ...readUnion('errors.ts', 'BenUdpTextErrorCode')];
    const told = [...readPage(PAGE).matchAll(/^\| `(BEN_\w+)`/gm)].map(([, code]) => code!);
    expect(codes.length).toBeGreaterThan(20);
    // A code may be in the tables of both server and client.
    expect([...new Set(told)].toSorted()).toEqual(codes.toSorted());
  });

  it('has every step of a request', () => {
    const steps = namesIn(readTable(PAGE, 'Codes')).filter((name) => !name.startsWith('BEN_'));
    expect(steps).toEqual(readUnion('errors.ts', 'BenUdpRequestStep'));
  });

  it('has every reason of a rejection, in the words of the library', () => {
    const rows = readTable(PAGE, 'Datagrams without an answer');
    expect(rows.map(([reason, meaning]) => [reason, meaning])).toEqual(
      Object.entries(REJECTIONS).map(([reason, meaning]) => [`\`${reason}\``, meaning]),
    );
    expect(rows.every(([, , toDo]) => toDo !== '')).toBe(true);
  });

  it('has every outcome, and every reason for which a client ignores a datagram, in the words of the library', () => {
    const rows = readTable(PAGE, 'How requests end');
    expect(namesIn(rows)).toEqual([
      ...readUnion('server/statistics.ts', 'BenUdpOutcome'),
      ...Object.keys(IGNORED_REASONS),
    ]);
    for (const [reason, words] of Object.entries(IGNORED_REASONS)) {
      expect(rows).toContainEqual([`\`${reason}\``, words]);
    }
  });

  it('has the real replies', async () => {
    class Never {
      canActivate() {
        return false;
      }
    }
    @Controller()
    class Handlers {
      @MessagePattern(0)
      rpc() {
        throw new RpcException('no such sensor');
      }
      @MessagePattern(1)
      rpcObject() {
        throw new RpcException({ code: 404 });
      }
      @MessagePattern(2)
      bug() {
        throw new Error('anything');
      }
      @UseGuards(Never)
      @MessagePattern(3)
      guarded() {}
      @MessagePattern(5)
      unsendable() {
        return () => undefined;
      }
      @MessagePattern(6)
      nothing() {}
    }
    const rows = readTable(PAGE, 'What a board gets').filter((row) => row.length === 3);
    const { board, transport } = await startApp({ controllers: [Handlers] });
    expect(transport).toBeInstanceOf(BenUdpTransport);
    const device = await board();
    expect(rows).toHaveLength(7);
    for (const [action, [, reply, returned]] of rows.entries()) {
      expect(`\`${await device.exchange(`{'action': ${action}}`)}\``).toBe(reply);
      expect([await device.send({ action }), returned]).toEqual([null, '`None`']);
    }
  });
});
