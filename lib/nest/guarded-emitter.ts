/**
 * Events for the listeners of our users. What a listener throws, at once or by a promise it returns, is reported and harms
 * nobody: events are caused by datagrams, so it would be strangers who end the process.
 */
import { EventEmitter, captureRejectionSymbol } from 'node:events';

type Listeners<Events> = { [Name in keyof Events]: (...args: never[]) => unknown };

export class GuardedEmitter<Events extends Listeners<Events>> {
  private readonly emitter = new EventEmitter({ captureRejections: true });

  constructor(private readonly onFailure: (error: unknown) => void) {
    Object.assign(this.emitter, { [captureRejectionSymbol]: onFailure });
  }

  on<Name extends keyof Events & string>(event: Name, listener: Events[Name]): void {
    this.emitter.on(event, listener as unknown as () => void);
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
