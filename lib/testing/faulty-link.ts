/**
 * One direction of a bad network: loses, duplicates, delays, reorders and damages datagrams, at random from a seed.
 */
import type { Random } from './random.js';

/** Faults of a link. Chances are 0 to 1, each drawn independently. */
export interface LinkFaults {
  /** The datagram is lost. */
  readonly loss: number;
  /** The datagram begins a burst, in which everything of its flow is lost. */
  readonly burstLoss: number;
  /** Datagrams in a burst, on average. */
  readonly burstLength: number;
  /** The datagram arrives twice. */
  readonly duplicate: number;
  /** The copy arrives up to this much later, in milliseconds. */
  readonly duplicateMs: number;
  /** The datagram is held back, so later ones overtake it. */
  readonly reorder: number;
  /** How long it is held back: least and most, in milliseconds. */
  readonly reorderMs: readonly [number, number];
  readonly delayMs: number;
  /** The delay varies by up to this much in each direction; the order is kept. */
  readonly jitterMs: number;
  /** One to three bits are flipped. */
  readonly corrupt: number;
  /** The datagram is cut off, but never to nothing: upstream's client takes an empty third datagram for `{}`. */
  readonly truncate: number;
}

const NO_FAULTS: LinkFaults = {
  loss: 0,
  burstLoss: 0,
  burstLength: 4,
  duplicate: 0,
  duplicateMs: 5,
  reorder: 0,
  reorderMs: [500, 1000],
  delayMs: 0,
  jitterMs: 0,
  corrupt: 0,
  truncate: 0,
};

/** Counts of what happened to datagrams. */
export interface LinkFates {
  sent: number;
  arrived: number;
  lost: number;
  doubled: number;
  reordered: number;
  corrupted: number;
  truncated: number;
}

/** Runs callbacks at their times, in order. */
export interface LinkTimeline {
  at(time: number, act: () => void): void;
}

interface Flow {
  /** When its last datagram arrives. */
  lastAt: number;
  /** Datagrams left of a burst of losses. */
  burstLeft: number;
}

export class FaultyLink {
  /** Everything is lost up to this time. */
  cutUntil = -Infinity;
  readonly fates: LinkFates = { sent: 0, arrived: 0, lost: 0, doubled: 0, reordered: 0, corrupted: 0, truncated: 0 };
  private faults = NO_FAULTS;
  /** Bounded by the flows of the test. */
  private readonly flows = new Map<string, Flow>();

  constructor(
    private readonly timeline: LinkTimeline,
    private readonly random: Random,
  ) {}

  /** @param faults replace the previous ones. A running burst ends. */
  setFaults(faults: Partial<LinkFaults>): void {
    this.faults = { ...NO_FAULTS, ...faults };
    this.flows.forEach((flow) => (flow.burstLeft = 0));
  }

  /**
   * Carries a datagram.
   *
   * @param flow datagrams of one flow keep their order.
   * @param arrive called once for each copy that arrives.
   */
  carry(flow: string, datagram: Buffer, sentAt: number, arrive: (datagram: Buffer) => void): void {
    const { fates } = this;
    fates.sent++;
    const state = this.flowOf(flow);
    // Each datagram has its own generator, so one fault does not move others to other datagrams.
    const random = this.random.fork();
    const [isLost, doubling, holding] = [this.isLost(state, random), random.fork(), random.fork()];
    if (sentAt < this.cutUntil || isLost) {
      fates.lost++;
      return;
    }
    const { delayMs, jitterMs, reorder, reorderMs, duplicate, duplicateMs } = this.faults;
    let at = Math.max(sentAt, sentAt + delayMs + (random.float() * 2 - 1) * jitterMs);
    const bytes = this.damage(datagram, random);
    if (holding.chance(reorder)) {
      fates.reordered++;
      at += reorderMs[0] + holding.float() * (reorderMs[1] - reorderMs[0]);
    } else {
      at = Math.max(at, state.lastAt);
      state.lastAt = at;
    }
    this.arriveAt(at, bytes, arrive);
    if (doubling.chance(duplicate)) {
      fates.doubled++;
      this.arriveAt(at + doubling.float() * duplicateMs, bytes, arrive);
    }
  }

  private arriveAt(time: number, bytes: Buffer, arrive: (datagram: Buffer) => void): void {
    this.timeline.at(time, () => {
      this.fates.arrived++;
      return arrive(bytes);
    });
  }

  private flowOf(name: string): Flow {
    let flow = this.flows.get(name);
    if (!flow) {
      flow = { lastAt: -Infinity, burstLeft: 0 };
      this.flows.set(name, flow);
    }
    return flow;
  }

  private isLost(flow: Flow, random: Random): boolean {
    const { loss, burstLoss, burstLength } = this.faults;
    const isLost = random.chance(loss);
    if (random.chance(burstLoss) && flow.burstLeft === 0) {
      flow.burstLeft = random.between(1, 2 * burstLength - 1);
    }
    if (flow.burstLeft > 0) {
      flow.burstLeft--;
      return true;
    }
    return isLost;
  }

  private damage(datagram: Buffer, random: Random): Buffer {
    const { corrupt, truncate } = this.faults;
    let bytes = datagram;
    if (random.chance(corrupt) && bytes.length > 0) {
      this.fates.corrupted++;
      bytes = Buffer.from(bytes);
      for (let flips = random.between(1, 3); flips > 0; flips--) {
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      }
    }
    if (random.chance(truncate) && bytes.length > 1) {
      this.fates.truncated++;
      bytes = bytes.subarray(0, random.between(1, bytes.length - 1));
    }
    return bytes;
  }
}
