/**
 * Writes the reply to a board: the result of a handler, its error, or the reason why no handler ran.
 */
import type { ConsumerSerializer } from '@nestjs/microservices';
import { BenUdpError, type BenUdpProtocolError } from '../errors.js';
import type { VerifiedRequest } from '../exchange/index.js';
import { formatErrorReply, formatReply, formatUnreadableReply } from '../protocol/index.js';
import type { Answer } from '../server/index.js';
import { type ResultPacket, isPromiseLike } from './ben-udp.router.js';
import type { ResolvedTransportOptions } from './ben-udp.transport-options.js';
import { HIDDEN_ERROR } from './error-answer.js';

/** Tells a device that its request was not run: too many handlers are running. */
const BUSY_ERROR = { status: 'error', message: 'busy: too many handlers are running, try again later' } as const;

type ReplyLimits = Pick<VerifiedRequest, 'noreturn' | 'replyBytes'>;

export class AnswerWriter {
  /** @param onUnsendable called if a result can't be sent. The board gets an error instead. */
  constructor(
    private readonly options: Pick<ResolvedTransportOptions, 'bufferSize' | 'errorReply'>,
    private readonly onUnsendable: (error: unknown, action: unknown) => void,
  ) {}

  /** The answer to a request whose handler has ended. A promise only if the serializer returns one, because each promise costs time. */
  write(request: VerifiedRequest, result: ResultPacket, serializer: ConsumerSerializer): Answer | Promise<Answer> {
    if (request.noreturn) {
      return { text: undefined, isError: 'err' in result };
    }
    try {
      const packet: ResultPacket | PromiseLike<ResultPacket> = serializer.serialize(
        result as ResultPacket & { id: string },
      );
      return isPromiseLike(packet) ? this.writeLater(request, packet) : this.format(request, packet);
    } catch (error) {
      return this.refuseUnsendable(request, error);
    }
  }

  /** The answer to a request that was accepted, and whose handler does not run. */
  refuse(message: string, request: ReplyLimits): Answer {
    const text = request.noreturn
      ? undefined
      : this.formatError({ status: 'error', message }, this.bufferSizeOf(request));
    return { text, isError: true };
  }

  /** The reply to a verified request that can't be read, or that finds all handlers busy; `undefined` if the server sends no errors. */
  formatRefusal(unreadable: BenUdpProtocolError | undefined): string | undefined {
    const { errorReply } = this.options;
    if (errorReply === 'none') {
      return undefined;
    }
    return unreadable ? formatUnreadableReply(unreadable, errorReply) : this.formatError(BUSY_ERROR);
  }

  private async writeLater(request: VerifiedRequest, packet: PromiseLike<ResultPacket>): Promise<Answer> {
    try {
      return this.format(request, await packet);
    } catch (error) {
      return this.refuseUnsendable(request, error);
    }
  }

  private format(request: VerifiedRequest, packet: ResultPacket): Answer {
    const bufferSize = this.bufferSizeOf(request);
    return 'err' in packet
      ? { text: this.formatError(packet.err, bufferSize), isError: true }
      : { text: formatReply(packet.response, bufferSize), isError: false };
  }

  private refuseUnsendable({ action }: VerifiedRequest, error: unknown): Answer {
    this.onUnsendable(error, action);
    const message = error instanceof BenUdpError ? error.message : HIDDEN_ERROR.message;
    return { text: this.formatError({ status: 'error', message }), isError: true };
  }

  private bufferSizeOf({ replyBytes }: ReplyLimits): number {
    return Math.min(this.options.bufferSize, replyBytes ?? Infinity);
  }

  private formatError(error: unknown, bufferSize = this.options.bufferSize): string | undefined {
    const { errorReply } = this.options;
    return errorReply === 'none' ? undefined : formatErrorReply(error, errorReply, bufferSize);
  }
}
