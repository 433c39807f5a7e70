/** Limits guesses of the password. */

/** At once for an address; one more comes back every `REFILL_MS`. */
export const BURST = 5;
export const REFILL_MS = 30_000;

/** Guesses that are checked at once, from all addresses: each takes 32 MiB. */
export const MAX_RUNNING = 2;

const MAX_ADDRESSES = 1000;

export class Attempts {
  private readonly used = new Map<string, { count: number; at: number }>();
  private running = 0;

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Runs `check` if the address may guess now, else gives `undefined`. A right password costs no attempt. */
  async run(address: string, check: () => Promise<boolean>): Promise<boolean | undefined> {
    const used = this.usedBy(address);
    if (used > BURST - 1 || this.running >= MAX_RUNNING) {
      return undefined;
    }
    this.note(address, used + 1);
    this.running++;
    try {
      const isRight = await check();
      if (isRight) {
        this.used.delete(address);
      }
      return isRight;
    } finally {
      this.running--;
    }
  }

  private usedBy(address: string): number {
    const { count, at } = this.used.get(address) ?? { count: 0, at: 0 };
    return Math.max(0, count - (this.now() - at) / REFILL_MS);
  }

  private note(address: string, count: number): void {
    this.used.delete(address);
    this.used.set(address, { count, at: this.now() });
    if (this.used.size > MAX_ADDRESSES) {
      const [oldest] = this.used.keys();
      this.used.delete(oldest!);
    }
  }
}
