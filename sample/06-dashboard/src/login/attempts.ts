/** Limits guesses of the password. */
import { isIPv6 } from 'node:net';

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
    const network = networkOf(address);
    const used = this.usedBy(network);
    if (used > BURST - 1 || this.running >= MAX_RUNNING) {
      return undefined;
    }
    this.note(network, used + 1);
    this.running++;
    try {
      const isRight = await check();
      if (isRight) {
        this.used.delete(network);
      }
      return isRight;
    } finally {
      this.running--;
    }
  }

  private usedBy(network: string): number {
    const { count, at } = this.used.get(network) ?? { count: 0, at: 0 };
    return Math.max(0, count - (this.now() - at) / REFILL_MS);
  }

  private note(network: string, count: number): void {
    this.used.delete(network);
    this.used.set(network, { count, at: this.now() });
    if (this.used.size > MAX_ADDRESSES) {
      const [oldest] = this.used.keys();
      this.used.delete(oldest!);
    }
  }
}

/** One holder of IPv6 has all addresses of a /64, so they count as one. An IPv4 address stays as it is, also written as IPv6. */
function networkOf(address: string): string {
  const [plain] = address.split('%');
  if (!isIPv6(plain!) || plain!.includes('.')) {
    return address;
  }
  const [head, tail] = plain!.split('::').map((part) => part.split(':').filter(Boolean));
  const groups =
    tail === undefined ? head! : [...head!, ...Array<string>(8 - head!.length - tail.length).fill('0'), ...tail];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
