/**
 * Events for the listeners of our users. An error that a listener throws, at once or through a promise it returns, is reported
 * and harms nobody: datagrams cause events, so a remote peer could crash the process.
 *
 * A listener runs in the async scope in which it was registered, because nothing else is known to be its own: the scope of a
 * socket or a timer would carry a store from one event to the next. Events that belong to a request run in that request's.
 */
import { AsyncResource } from 'node:async_hooks';
import { EventEmitter, captureRejectionSymbol } from 'node:events';

type Listeners<Events> = { [Name in keyof Events]: (...args: never[]) => unknown };
type AnyListener = (...args: unknown[]) => unknown;

export class GuardedEmitter<Events extends Listeners<Events>> {
  private readonly emitter = new EventEmitter({ captureRejections: true });

  /** @param requestEvents events whose listeners run in the scope of the request that they belong to. */
  constructor(
    private readonly onFailure: (error: unknown) => void,
    private readonly requestEvents: ReadonlyArray<keyof Events> = [],
  ) {
    Object.assign(this.emitter, { [captureRejectionSymbol]: onFailure });
  }

  on<Name extends keyof Events & string>(event: Name, listener: Events[Name]): void {
    const own = listener as unknown as AnyListener;
    this.emitter.on(event, this.requestEvents.includes(event) ? own : inScopeOfRegistration(own));
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

/** Each call has a scope of its own within that of the registration: a store that one call enters, the next must not see. */
function inScopeOfRegistration(listener: AnyListener): AnyListener {
  const registration = new AsyncResource('BenUdpListener');
  return (...args) =>
    registration.runInAsyncScope(() => new AsyncResource('BenUdpEvent').runInAsyncScope(listener, undefined, ...args));
}
