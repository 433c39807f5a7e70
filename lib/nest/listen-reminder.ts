/**
 * Notices a transport that was given handlers and never told to listen. Nest says nothing then: the app runs, and no board is
 * answered.
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

  /** Begins to wait, if it has not begun yet. Keeps no process alive. */
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

  /** The transport listens, or never will. */
  stop(): void {
    this.isDone = true;
    this.cancel?.();
  }
}
