/**
 * One direction of a network that loses, doubles, reorders and delays datagrams, by chance and repeatably.
 */
import type { Platform } from '../net/index.js';
import type { Random } from './random.js';

/** How long a datagram waits to be overtaken. */
const OVERTAKE_MS = 20;

export interface LinkFaults {
  /** Chances, 0 to 1. */
  readonly loss: number;
  readonly duplicate: number;
  readonly reorder: number;
  /** Longest delay in milliseconds. */
  readonly delay: number;
}

export const NO_FAULTS: LinkFaults = { loss: 0, duplicate: 0, reorder: 0, delay: 0 };

export interface LinkCounts {
  lost: number;
  duplicated: number;
  reordered: number;
}

export class FaultyLink {
  readonly counts: LinkCounts = { lost: 0, duplicated: 0, reordered: 0 };
  /** What waits to be overtaken. */
  private held: Buffer[] = [];
  /** What is on its way, in order. */
  private readonly delayed: Array<{ readonly datagram: Buffer; readonly dueAt: number }> = [];
  private giveUpHolding: () => void = () => undefined;
  private stopDelay: () => void = () => undefined;

  constructor(
    private readonly faults: LinkFaults,
    private readonly random: Random,
    private readonly deliver: (datagram: Buffer) => void,
    private readonly platform: Pick<Platform, 'now' | 'schedule'>,
  ) {}

  send(datagram: Buffer): void {
    const { faults, random, counts } = this;
    // Each datagram draws the same number of times, so that one fault moves no other to another place.
    const isLost = random.chance(faults.loss);
    const isDoubled = random.chance(faults.duplicate);
    const isOvertaken = random.chance(faults.reorder);
    const delayMs = random.float() * faults.delay;
    if (isLost) {
      counts.lost++;
      return;
    }
    counts.duplicated += isDoubled ? 1 : 0;
    const copies = isDoubled ? [datagram, datagram] : [datagram];
    if (isOvertaken && this.held.length === 0) {
      this.held = copies;
      this.giveUpHolding = this.platform.schedule(() => this.releaseHeld(), OVERTAKE_MS);
      return;
    }
    this.carry(copies, delayMs);
    counts.reordered += this.held.length > 0 ? 1 : 0;
    this.releaseHeld();
  }

  close(): void {
    this.giveUpHolding();
    this.stopDelay();
  }

  private releaseHeld(): void {
    this.giveUpHolding();
    this.carry(this.held.splice(0), 0);
  }

  private carry(datagrams: readonly Buffer[], delayMs: number): void {
    if (this.faults.delay === 0) {
      datagrams.forEach(this.deliver);
      return;
    }
    const dueAt = Math.max(this.platform.now() + delayMs, this.delayed.at(-1)?.dueAt ?? 0);
    const wasIdle = this.delayed.length === 0;
    this.delayed.push(...datagrams.map((datagram) => ({ datagram, dueAt })));
    if (wasIdle) {
      this.awaitFirst();
    }
  }

  private awaitFirst(): void {
    const [first] = this.delayed;
    if (first) {
      this.stopDelay = this.platform.schedule(() => this.deliverDue(), Math.max(1, first.dueAt - this.platform.now()));
    }
  }

  private deliverDue(): void {
    const now = this.platform.now();
    while (this.delayed[0] && this.delayed[0].dueAt <= now) {
      this.deliver(this.delayed.shift()!.datagram);
    }
    this.awaitFirst();
  }
}
