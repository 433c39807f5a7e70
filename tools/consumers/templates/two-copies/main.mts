/** The ESM side: controller, guard and board. The app they meet has the other copy of the package. */
import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from 'node:assert';
import { type CanActivate, Controller, type ExecutionContext, Injectable, UseGuards } from '@nestjs/common';
import { Ctx, MessagePattern } from '@nestjs/microservices';
import * as esmCopy from 'nestjs-ben-udp';
import {
  AllowDevices,
  BEN_UDP_TRANSPORT,
  BenUdpContext,
  BenUdpError,
  BenUdpMessagePattern,
  Device,
  RemoteAddress,
  Signal,
} from 'nestjs-ben-udp';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { copy as commonJsCopy, startApp } from './app.cjs';

@Injectable()
class BenUdpGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getContext<unknown>() instanceof BenUdpContext;
  }
}

@Controller()
class WhoController {
  /** Bound to one transport, and guarded by what its requests bring along. */
  @MessagePattern('who', BEN_UDP_TRANSPORT)
  @UseGuards(BenUdpGuard)
  who(@Ctx() context: BenUdpContext): string | undefined {
    return context.getDevice();
  }

  /** The same with the decorators of this copy. */
  @BenUdpMessagePattern('decorated')
  @AllowDevices('board-01')
  decorated(@Device() device: string, @RemoteAddress() address: string, @Signal() signal: AbortSignal): unknown {
    return { device, address, isAborted: signal.aborted };
  }

  @BenUdpMessagePattern('forbidden')
  @AllowDevices('board-02')
  forbidden(): string {
    return 'for board-02 alone';
  }
}

function checkErrors(): void {
  for (const [thrown, caught] of [
    [commonJsCopy, esmCopy],
    [esmCopy, commonJsCopy],
  ] as const) {
    const error: unknown = new thrown.BenUdpError('BEN_TIMEOUT', 'no datagram');
    const protocolError: unknown = new thrown.BenUdpProtocolError('BEN_BAD_REQUEST', 'no dict');
    ok(error instanceof caught.BenUdpError, 'a BenUdpError of the other copy is one');
    ok(protocolError instanceof caught.BenUdpError, 'a BenUdpProtocolError of the other copy is a BenUdpError');
    ok(protocolError instanceof caught.BenUdpProtocolError, 'a BenUdpProtocolError of the other copy is one');
    ok(!(error instanceof caught.BenUdpProtocolError), 'a BenUdpError is no BenUdpProtocolError');
  }
  class OwnError extends BenUdpError {}
  ok(new OwnError('BEN_TIMEOUT', 'own') instanceof commonJsCopy.BenUdpError, 'a subclass belongs to both copies');
  ok(!(new commonJsCopy.BenUdpError('BEN_TIMEOUT', 'other') instanceof OwnError), 'a subclass is not its base');
  for (const other of [new Error('other'), { code: 'BEN_TIMEOUT' }, undefined, null, 'BEN_TIMEOUT']) {
    ok(!((other as unknown) instanceof BenUdpError), 'nothing else is a BenUdpError');
  }
}

async function checkExchange(): Promise<void> {
  const key = Buffer.alloc(32, 'two copies');
  const { app, port } = await startApp(WhoController, key);
  const board = await VirtualBoard.start({ key, port });
  strictEqual(await board.send({ action: 'who' }), 'board-01');
  deepStrictEqual(await board.send({ action: 'decorated' }), {
    device: 'board-01',
    address: '127.0.0.1',
    isAborted: false,
  });
  match(
    String(await board.exchange("{'action': 'forbidden'}")),
    /Forbidden resource/,
    'the guard of one copy reads the context of the other',
  );
  await board.close();
  await app.close();
}

notStrictEqual(commonJsCopy.BenUdpContext, BenUdpContext, 'there should be two copies, or this tests nothing');
strictEqual(commonJsCopy.BEN_UDP_TRANSPORT as symbol, BEN_UDP_TRANSPORT);
await checkExchange();
checkErrors();
