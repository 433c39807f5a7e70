/**
 * Work that has begun and not ended, so that a shutdown can wait for it.
 */
export class InFlight {
  private readonly waiting: Array<() => void> = [];
  private count = 0;

  get size(): number {
    return this.count;
  }

  begin(): void {
    this.count++;
  }

  end(): void {
    if (--this.count === 0) {
      this.waiting.splice(0).forEach((resolve) => resolve());
    }
  }

  /** Resolves when nothing is in flight. */
  async whenEmpty(): Promise<void> {
    if (this.count > 0) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }
}
