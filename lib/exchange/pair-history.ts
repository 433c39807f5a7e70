/**
 * The pairs an endpoint was sent last. A device whose socket holds a datagram too many reads parts of two of them.
 */
import { randomInt } from 'node:crypto';

/** Names a pair: what it is derived from, besides the endpoint. */
export interface PairName {
  readonly slot: number;
  readonly n: number;
}

export interface PairHistory {
  /** The pair sent last. */
  readonly last: PairName;
  /** When that was. */
  readonly lastAt: number;
  /** The pair sent before it, which may be the same one; `undefined` where there was none. */
  readonly before: PairName | undefined;
  /** Whether only the first datagram of the last pair was sent, to bring the device back into step. */
  readonly isSingle: boolean;
}

export function isSamePair(a: PairName, b: PairName): boolean {
  return a.slot === b.slot && a.n === b.n;
}

/**
 * Histories of endpoints that have not verified yet: hints of fixed size, which a flood may overwrite. Losing one costs
 * nothing but the repair of a device that is out of step. Before the first request `n` is 0, so a slot names a pair.
 */
export class HintTable {
  private readonly owners: Uint32Array;
  private readonly checks: Uint32Array;
  private readonly lastSlots: Int32Array;
  private readonly slotsBefore: Int32Array;
  private readonly lastAt: Float64Array;
  private readonly secret = randomInt(0x1_0000_0000);
  private readonly mask: number;

  /** @param size a power of two. */
  constructor(size: number) {
    this.owners = new Uint32Array(size);
    this.checks = new Uint32Array(size);
    this.lastSlots = new Int32Array(size);
    this.slotsBefore = new Int32Array(size);
    this.lastAt = new Float64Array(size);
    this.mask = size - 1;
  }

  get(endpoint: string): PairHistory | undefined {
    const owner = hash(endpoint, this.secret);
    const index = owner & this.mask;
    if (this.owners[index] !== owner || this.checks[index] !== hash(endpoint, ~this.secret)) {
      return undefined;
    }
    const before = this.slotsBefore[index]!;
    return {
      last: { slot: this.lastSlots[index]!, n: 0 },
      lastAt: this.lastAt[index]!,
      before: before === NO_SLOT ? undefined : { slot: before, n: 0 },
      isSingle: false,
    };
  }

  /** Notes that the pair of `slot` was sent. */
  note(endpoint: string, slot: number, now: number): void {
    const owner = hash(endpoint, this.secret);
    const check = hash(endpoint, ~this.secret);
    const index = owner & this.mask;
    const isKnown = this.owners[index] === owner && this.checks[index] === check;
    this.slotsBefore[index] = isKnown ? this.lastSlots[index]! : NO_SLOT;
    this.owners[index] = owner;
    this.checks[index] = check;
    this.lastSlots[index] = slot;
    this.lastAt[index] = now;
  }
}

const NO_SLOT = -1;

/** A keyed mix of a short string; strangers can't aim at an entry without the secret. */
function hash(text: string, secret: number): number {
  let mixed = secret | 0;
  for (let index = 0; index < text.length; index++) {
    mixed = Math.imul(mixed ^ text.charCodeAt(index), 0x9e3779b1);
    mixed ^= mixed >>> 15;
  }
  mixed = Math.imul(mixed ^ secret, 0x85ebca77);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
