/**
 * Abort signals for handlers: they fire when nobody waits for the handler any more. A signal is created when its handler asks for it, so
 * other handlers cost nothing.
 */
import { AsyncResource } from 'node:async_hooks';
import { BenUdpError } from '../errors.js';
import type { Exchanges, PendingRequest, VerifiedRequest } from '../exchange/index.js';
import type { Platform } from '../net/index.js';

interface HandlerSignal {
  readonly signal: AbortSignal;
  abort(reason: BenUdpError): void;
  cancelTimer(): void;
}

export class RequestSignals {
  /** Bounded by `maxInFlight`. */
  private readonly signals = new Map<VerifiedRequest, HandlerSignal>();
  private isCutOff = false;

  /** @param watch that of the exchange. */
  constructor(
    private readonly watch: Exchanges['watch'],
    private readonly platform: Platform,
  ) {}

  /** The signal of a request whose handler runs. Each call returns the same. */
  of(request: VerifiedRequest, pending: PendingRequest): AbortSignal {
    const existing = this.signals.get(request);
    if (existing) {
      return existing.signal;
    }
    if (this.isCutOff) {
      return AbortSignal.abort(cutOffReason());
    }
    const created = this.create(request, pending);
    this.signals.set(request, created);
    return created.signal;
  }

  /** The handler has ended, so its signal can't fire any more. */
  end(request: VerifiedRequest): void {
    if (this.signals.size > 0) {
      this.signals.get(request)?.cancelTimer();
      this.signals.delete(request);
    }
  }

  /** The server is about to close. Fires all signals, also those that are created from now on. */
  cutOff(): void {
    this.isCutOff = true;
    for (const signal of this.signals.values()) {
      signal.abort(cutOffReason());
    }
  }

  private create({ rid }: VerifiedRequest, pending: PendingRequest): HandlerSignal {
    const controller = new AbortController();
    // The listeners of the signal run in the async scope of this request, not in that of the socket or the timer.
    const scope = new AsyncResource('BenUdpSignal');
    let cancelTimer: () => void = () => undefined;
    const abort = (reason: BenUdpError) => {
      cancelTimer();
      scope.runInAsyncScope(() => controller.abort(reason));
    };
    // A retry with the same id gets the result, so the handler is never in vain.
    const deadline = rid === undefined ? this.watch(pending, () => abort(supersededReason())) : Infinity;
    const left = deadline - this.platform.now();
    if (left <= 0) {
      abort(lateReason());
    } else if (left < Infinity) {
      // A timer may fire a moment early, and a reply would still be sent then.
      cancelTimer = this.platform.schedule(() => abort(lateReason()), Math.ceil(left) + 1, { isBackground: true });
    }
    return { signal: controller.signal, abort, cancelTimer: () => cancelTimer() };
  }
}

function supersededReason(): BenUdpError {
  return new BenUdpError('BEN_TIMEOUT', 'the board no longer waits: it has sent its next hello or request');
}

function lateReason(): BenUdpError {
  return new BenUdpError('BEN_TIMEOUT', 'the board no longer waits: its timeout has passed');
}

function cutOffReason(): BenUdpError {
  return new BenUdpError('BEN_CLOSED', 'the server closes and no longer waits for this handler');
}
