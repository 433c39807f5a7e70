/**
 * Events for the listeners of an app. If a listener throws, or if its promise rejects, the error is only reported. Datagrams cause
 * events, so otherwise a remote peer could crash the process.
 *
 * A listener runs in the async scope in which it was registered. The scope of a socket or a timer would carry a store from one event
 * to the next. Listeners of events that belong to a request run in the scope of that request.
 */
import { AsyncResource } from 'node:async_hooks';
import { EventEmitter, captureRejectionSymbol } from 'node:events';

type Listeners<Events> = { [Name in keyof Events]: (...args: never[]) => unknown };
type AnyListener = (...args: unknown[]) => unknown;

/** `EventEmitter` also removes a listener by the `listener` that it wraps. */
type WrappedListener = AnyListener & { listener?: AnyListener };

export class GuardedEmitter<Events extends Listeners<Events>> {
  /** Each rejects a promise of `next` that is not settled. Bounded by the calls of the app. */
  private readonly waiting = new Set<(error: Error) => void>();
  private readonly emitter = new EventEmitter({ captureRejections: true });

  /** @param requestEvents events that belong to a request. */
  constructor(
    private readonly onFailure: (error: unknown) => void,
    private readonly requestEvents: ReadonlyArray<keyof Events> = [],
  ) {
    Object.assign(this.emitter, { [captureRejectionSymbol]: onFailure });
  }

  on<Name extends keyof Events & string>(event: Name, listener: Events[Name]): void {
    this.emitter.on(event, this.wrap(event, listener));
  }

  once<Name extends keyof Events & string>(event: Name, listener: Events[Name]): void {
    const wrapped = this.wrap(event, listener);
    const once: WrappedListener = (...args) => {
      this.emitter.off(event, once);
      return wrapped(...args);
    };
    this.emitter.on(event, Object.assign(once, { listener: wrapped.listener }));
  }

  /** The arguments of the next event. Rejects if `endWaiting` is called first. */
  next<Name extends keyof Events & string>(event: Name): Promise<Parameters<Events[Name]>> {
    const next = new Promise<Parameters<Events[Name]>>((resolve, reject) => {
      const take = (...args: Parameters<Events[Name]>) => {
        this.waiting.delete(giveUp);
        resolve(args);
      };
      const listener = take as unknown as Events[Name];
      const giveUp = (error: Error) => {
        this.off(event, listener);
        reject(error);
      };
      this.waiting.add(giveUp);
      this.once(event, listener);
    });
    // A promise that nobody looks at must not end the process when the transport closes.
    next.catch(() => undefined);
    return next;
  }

  /** Rejects the promises of `next`, because no event comes any more. */
  endWaiting(error: Error): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    waiting.forEach((giveUp) => giveUp(error));
  }

  /** Removes the latest registration of this listener, by `on` or by `once`. */
  off<Name extends keyof Events & string>(event: Name, listener: Events[Name]): void {
    this.emitter.off(event, listener as unknown as AnyListener);
  }

  private wrap<Name extends keyof Events & string>(event: Name, listener: Events[Name]): WrappedListener {
    const own = listener as unknown as AnyListener;
    const scoped = this.requestEvents.includes(event) ? own.bind(undefined) : inScopeOfRegistration(own);
    return Object.assign(scoped, { listener: own });
  }

  hasListeners(event: keyof Events & string): boolean {
    return this.emitter.listenerCount(event) > 0;
  }

  emit<Name extends keyof Events & string>(event: Name, ...args: Parameters<Events[Name]>): void {
    try {
      this.emitter.emit(event, ...args);
    } catch (error) {
      this.onFailure(error);
    }
  }
}

/** Each call has its own scope within that of the registration, so the next call does not see a store that this one enters. */
function inScopeOfRegistration(listener: AnyListener): AnyListener {
  const registration = new AsyncResource('BenUdpListener');
  return (...args) =>
    registration.runInAsyncScope(() => new AsyncResource('BenUdpEvent').runInAsyncScope(listener, undefined, ...args));
}
