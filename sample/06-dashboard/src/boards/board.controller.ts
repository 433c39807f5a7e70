import { Controller, UseInterceptors } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { BEN_UDP_TRANSPORT, BenUdpContext, BenUdpMessagePattern, Device, Signal } from 'nestjs-ben-udp';
import { HeardInterceptor } from './heard.interceptor.js';
import { IngestService } from './ingest.service.js';
import { HOLD_MS, type Letter, MailboxService } from './mailbox.service.js';
import { readReport } from './report.js';
import { toStorableJson } from './storable.js';

/** The longest id that a board sends back. */
const MAX_ID = 64;
/** Characters of a result as JSON. */
const MAX_RESULT = 1024;

/** The questions of boards. Each key is in a file of its own, whose name is that of the board. */
@Controller()
@UseInterceptors(HeardInterceptor)
export class BoardController {
  constructor(
    private readonly ingest: IngestService,
    private readonly mailbox: MailboxService,
  ) {}

  @BenUdpMessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  /**
   * `board.send({"action": "report", "data": {"temperature": 21.5}})`. The reply comes when the readings are stored, with the next
   * command, if there is one. With `noreturn` it stores as well, and takes no command: it could not be delivered.
   */
  @MessagePattern(['report', 'dhtsensor'], BEN_UDP_TRANSPORT)
  async report(
    @Device() board: string,
    @Payload() data: unknown,
    @Ctx() context: BenUdpContext,
  ): Promise<{ stored: number; command: Letter | null }> {
    const readings = readReport(data);
    await this.ingest.add(board, context.getReceivedAt().getTime(), readings);
    const command = context.isReplyExpected() ? await this.mailbox.take(board) : null;
    return { stored: readings.size, command };
  }

  /**
   * `board.send({"action": "inbox", "data": {"done": id, "result": 1}})` acknowledges a command, and waits up to 8 s for the next one.
   * `"wait": 0` asks without waiting. The signal fires if the board has given up or asks again, and when the app ends.
   */
  @BenUdpMessagePattern('inbox')
  async inbox(
    @Device() board: string,
    @Payload() data: unknown,
    @Ctx() context: BenUdpContext,
    @Signal() signal: AbortSignal,
  ): Promise<Letter | null> {
    const { done, result = null, wait } = readInbox(data);
    if (done !== undefined) {
      await this.mailbox.acknowledge(board, done, result);
    }
    // From the request on: the board counts the time that the database took, too.
    const end = context.getReceivedAt().getTime() + wait;
    return context.isReplyExpected() ? this.mailbox.wait(board, end, signal) : null;
  }
}

function readInbox(data: unknown): { done?: string; result?: unknown; wait: number } {
  const { done, result, wait = HOLD_MS / 1000 } = (data ?? {}) as Record<string, unknown>;
  if (done !== undefined && done !== null && (typeof done !== 'string' || done.length > MAX_ID)) {
    throw new RpcException('"done" is the id of a command');
  }
  if (typeof wait !== 'number' || !(wait >= 0 && wait <= HOLD_MS / 1000)) {
    throw new RpcException(`"wait" is a number of seconds, from 0 to ${HOLD_MS / 1000}`);
  }
  return { done: done ?? undefined, result: readResult(result ?? null), wait: wait * 1000 };
}

/** Cuts a long result off. If it were refused, the board would send it again and again, and its next command would wait meanwhile. */
function readResult(result: unknown): unknown {
  const text = toStorableJson(result);
  return text.length > MAX_RESULT ? `${text.slice(0, MAX_RESULT).toWellFormed()} …` : (JSON.parse(text) as unknown);
}
