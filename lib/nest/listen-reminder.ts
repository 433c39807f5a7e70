/**
 * Notices a transport that has handlers but does not listen. Nest does not report this: the app runs, and no board gets an answer.
 */
import type { Platform } from '../net/index.js';

/** Long enough for an app that starts slowly. */
export const REMIND_AFTER_MS = 10_000;

export class ListenReminder {
  private isDone = false;
  private cancel: (() => void) | undefined;

  /** @param remind called at most once. */
  constructor(
    private readonly platform: Platform,
    private readonly remind: () => void,
  ) {}

  /** Starts the timer, unless it runs already. The timer does not keep the process alive. */
  start(): void {
    if (this.isDone || this.cancel) {
      return;
    }
    this.cancel = this.platform.schedule(
      () => {
        this.isDone = true;
        this.remind();
      },
      REMIND_AFTER_MS,
      { isBackground: true },
    );
  }

  /** Called if the transport listens, or never will. */
  stop(): void {
    this.isDone = true;
    this.cancel?.();
  }
}
