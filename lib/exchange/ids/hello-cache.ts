/**
 * The hellos of endpoints that have not verified yet: hints in a table of fixed size, which a flood may overwrite. A lost hint costs
 * nothing except the repair of a device that is out of step. Before the first request of an endpoint each slot has one pair, so a
 * slot names a pair.
 */
import { type RandomFill, randomUint32, systemRandom } from '../../random.js';
import { type Backlog, NO_BACKLOG } from './backlog.js';
import { type PairHistory, REMEMBERED_PAIRS, historyOf } from './pair-history.js';

const NO_SLOT = -1;

/** The hellos of an endpoint that has not verified. */
export interface RememberedHello extends PairHistory {
  readonly backlog: Backlog;
}

export class HelloCache {
  private readonly owners: Uint32Array;
  private readonly checks: Uint32Array;
  /** `REMEMBERED_PAIRS` for each entry, the latest first. */
  private readonly slots: Int32Array;
  private readonly sentAt: Float64Array;
  private readonly backlogs: Uint8Array;
  private readonly secret: number;
  private readonly mask: number;

  /** @param size a power of two. */
  constructor(size: number, random: RandomFill = systemRandom) {
    this.owners = new Uint32Array(size);
    this.checks = new Uint32Array(size);
    this.slots = new Int32Array(size * REMEMBERED_PAIRS);
    this.sentAt = new Float64Array(size);
    this.backlogs = new Uint8Array(size);
    this.secret = randomUint32(random);
    this.mask = size - 1;
  }

  get(endpoint: string): RememberedHello | undefined {
    const index = this.indexOf(endpoint);
    if (index < 0) {
      return undefined;
    }
    const slots = this.slots.subarray(index * REMEMBERED_PAIRS, (index + 1) * REMEMBERED_PAIRS);
    const known = Array.from(slots).filter((slot) => slot !== NO_SLOT);
    return { ...historyOf(known, this.sentAt[index]!), backlog: this.backlogs[index]! };
  }

  /** Records that the pair of `slot` was sent. */
  record(endpoint: string, slot: number, now: number): void {
    const owner = hash(endpoint, this.secret);
    const check = hash(endpoint, ~this.secret);
    const index = owner & this.mask;
    const first = index * REMEMBERED_PAIRS;
    if (this.owners[index] === owner && this.checks[index] === check) {
      this.slots.copyWithin(first + 1, first, first + REMEMBERED_PAIRS - 1);
    } else {
      this.owners[index] = owner;
      this.checks[index] = check;
      this.backlogs[index] = NO_BACKLOG;
      this.slots.fill(NO_SLOT, first + 1, first + REMEMBERED_PAIRS);
    }
    this.slots[first] = slot;
    this.sentAt[index] = now;
  }

  /** Records that the hello was withheld. */
  withhold(endpoint: string, now: number): void {
    const index = this.indexOf(endpoint);
    if (index >= 0) {
      this.sentAt[index] = now;
    }
  }

  setBacklog(endpoint: string, backlog: Backlog): void {
    const index = this.indexOf(endpoint);
    if (index >= 0) {
      this.backlogs[index] = backlog;
    }
  }

  /** -1 if no hello of the endpoint is remembered. */
  private indexOf(endpoint: string): number {
    const owner = hash(endpoint, this.secret);
    const index = owner & this.mask;
    return this.owners[index] === owner && this.checks[index] === hash(endpoint, ~this.secret) ? index : -1;
  }
}

/** A keyed hash of a short string: without the secret an attacker can't choose an entry. */
function hash(text: string, secret: number): number {
  let mixed = secret | 0;
  for (let index = 0; index < text.length; index++) {
    mixed = Math.imul(mixed ^ text.charCodeAt(index), 0x9e3779b1);
    mixed ^= mixed >>> 15;
  }
  mixed = Math.imul(mixed ^ secret, 0x85ebca77);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
